from collections.abc import Callable
from pathlib import Path

import pytest

from rllib_mamba.cli.errors import CommandError, UsageError
from rllib_mamba.cli.experiment import Experiment
from rllib_mamba.cli.files import experiment_from_file
from rllib_mamba.cli.options import TrainOptions

PYTHON = """
import argparse
from ray import tune
from ray.rllib.algorithms.ppo import PPOConfig

argparse.ArgumentParser().parse_args()
config = PPOConfig().environment("CartPole-v1").training(lr=0.5).env_runners(num_env_runners=3)
stop = {"training_iteration": 5, "env_runners/episode_return_mean": 450.0}
run_config = tune.RunConfig(name="mine", checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=4))
tune_config = tune.TuneConfig(num_samples=3)
"""

YAML = """
cartpole-ppo:
    env: CartPole-v1
    run: PPO
    stop:
        episode_reward_mean: 150
        timesteps_total: 100000
    config:
        framework: torch
        gamma: 0.9
        num_workers: 1
        num_sgd_iter: 6
        model:
            fcnet_hiddens: [32]
"""


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Experiment]:
    def read(text: str, suffix: str = ".py", **options: object) -> Experiment:
        file = tmp_path / f"experiment{suffix}"
        file.write_text(text)
        return experiment_from_file(file, TrainOptions(**options))

    return read


def test_a_python_file_says_it_all(read: Callable[..., Experiment]) -> None:
    experiment = read(PYTHON)

    assert experiment.algorithm.__name__ == "PPO"
    assert (experiment.config.lr, experiment.config.num_env_runners) == (0.5, 3)
    assert experiment.stop == {"training_iteration": 5, "env_runners/episode_return_mean": 450.0}
    assert experiment.name == "mine"
    assert experiment.run_config.checkpoint_config.checkpoint_frequency == 4
    assert experiment.tune_config.num_samples == 3


def test_the_command_line_overrides_the_file(read: Callable[..., Experiment], tmp_path: Path) -> None:
    experiment = read(
        PYTHON,
        stop_iters=1,
        num_env_runners=0,
        env="Acrobot-v1",
        experiment_name="other",
        local_dir=str(tmp_path),
        checkpoint_freq=2,
        num_samples=1,
        seed=7,
    )

    assert experiment.stop == {"training_iteration": 1, "env_runners/episode_return_mean": 450.0}
    assert (experiment.config.env, experiment.config.num_env_runners, experiment.config.seed) == ("Acrobot-v1", 0, 7)
    assert (experiment.config.lr, experiment.tune_config.num_samples) == (0.5, 1)
    assert (experiment.name, experiment.storage) == ("other", str(tmp_path))
    assert experiment.run_config.checkpoint_config.checkpoint_frequency == 2


def test_stop_as_json_replaces_the_criteria_of_the_file(read: Callable[..., Experiment]) -> None:
    assert read(PYTHON, stop='{"time_total_s": 60}').stop == {"time_total_s": 60}
    assert read(PYTHON, stop="{}").stop == {}


def test_the_old_yaml_form(read: Callable[..., Experiment]) -> None:
    experiment = read(YAML, ".yaml")

    config = experiment.config
    assert (experiment.algorithm.__name__, experiment.name, config.env) == ("PPO", "cartpole-ppo", "CartPole-v1")
    assert experiment.stop == {"env_runners/episode_return_mean": 150, "num_env_steps_sampled_lifetime": 100000}
    assert (config.gamma, config.num_env_runners, config.num_epochs) == (0.9, 1, 6)
    assert config.model_config["fcnet_hiddens"] == [32]


@pytest.mark.parametrize(
    ("text", "suffix", "error", "message"),
    [
        ("stop = {}", ".py", UsageError, "does not define `config`"),
        ("config = {'lr': 1}", ".py", UsageError, "defines a dict"),
        ("import module_of_nobody", ".py", CommandError, "ModuleNotFoundError: No module named 'module_of_nobody'"),
        (PYTHON + "\nstop = {'training_iteration': 'five'}", ".py", UsageError, "needs a number"),
        (PYTHON + "\nrun_config = {}", ".py", UsageError, "should be a ray.tune.RunConfig"),
        (YAML.replace("gamma", "gama"), ".yaml", UsageError, "Did you mean gamma"),
        (YAML.replace("run: PPO", "run: POP"), ".yaml", UsageError, "Unknown algorithm 'POP'"),
        (YAML.replace("stop:", "halt:"), ".yaml", UsageError, "halt is not understood"),
        (YAML.replace("torch", "tf2"), ".yaml", UsageError, "only the framework torch"),
        ("- a\n- b", ".yaml", UsageError, "expected one experiment"),
        ("a: [", ".yaml", UsageError, "is not YAML"),
        ("", ".txt", UsageError, "neither Python"),
    ],
)
def test_files_that_are_no_experiment(
    read: Callable[..., Experiment], text: str, suffix: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        read(text, suffix)
