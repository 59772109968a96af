from collections.abc import Callable
from pathlib import Path

import pytest
from ray.rllib.connectors.env_to_module import MeanStdFilter

from rllib_mamba.cli.errors import CommandError, UsageError
from rllib_mamba.cli.experiment import Experiment
from rllib_mamba.cli.files import experiments_from_file
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
        [experiment] = experiments_from_file(file, TrainOptions(**options))
        return experiment

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


# As RLlib had it in its folder of tuned examples.
CARTPOLE = """
cartpole-ppo:
    env: CartPole-v1
    run: PPO
    stop:
        sampler_results/episode_reward_mean: 150
        timesteps_total: 100000
    num_samples: 2
    checkpoint_freq: 5
    checkpoint_at_end: true
    keep_checkpoints_num: 3
    checkpoint_score_attr: min-episode_len_mean
    max_failures: 1
    local_dir: /tmp/somewhere
    config:
        framework: tf
        gamma: 0.99
        lambda: 0.9
        lr: 0.0003
        lr_schedule: [[0, 0.0003], [1000, 0.0001]]
        entropy_coeff_schedule: null
        num_workers: 1
        num_envs_per_worker: 2
        num_cpus_per_worker: 0.5
        observation_filter: MeanStdFilter
        num_sgd_iter: 6
        sgd_minibatch_size: 64
        train_batch_size: 512
        timesteps_per_iteration: 100
        evaluation_num_workers: 1
        evaluation_interval: 4
        vf_share_layers: true
        enable_connectors: true
        model:
            fcnet_hiddens: [32]
            fcnet_activation: linear
"""


def test_every_key_of_the_old_yaml_form(read: Callable[..., Experiment]) -> None:
    experiment = read(CARTPOLE, ".yaml")

    config = experiment.config
    assert experiment.stop == {"env_runners/episode_return_mean": 150, "num_env_steps_sampled_lifetime": 100000}
    assert (config.lambda_, config.lr, config.num_cpus_per_env_runner) == (0.9, [[0, 0.0003], [1000, 0.0001]], 0.5)
    assert (config.num_envs_per_env_runner, config.minibatch_size, config.train_batch_size) == (2, 64, 512)
    assert (config.min_sample_timesteps_per_iteration, config.evaluation_num_env_runners) == (100, 1)
    assert config.evaluation_interval == 4
    assert {**config.model_config, "vf_share_layers": True, "fcnet_activation": "linear"} == config.model_config
    connector = config._env_to_module_connector(None, None, None)
    assert isinstance(connector, MeanStdFilter)
    assert experiment.tune_config.num_samples == 2
    assert experiment.run_config.failure_config.max_failures == 1
    kept = experiment.run_config.checkpoint_config
    assert (kept.checkpoint_frequency, kept.num_to_keep, kept.checkpoint_at_end) == (5, 3, True)
    assert (kept.checkpoint_score_attribute, kept.checkpoint_score_order) == ("episode_len_mean", "min")
    assert "framework: tf, enable_connectors: True" in experiment.notes[0]


def test_several_experiments_in_one_file(tmp_path: Path) -> None:
    file = tmp_path / "two.yaml"
    file.write_text(YAML + YAML.replace("cartpole-ppo", "again").replace("gamma: 0.9", "gamma: 0.8"))

    assert [(one.name, one.config.gamma) for one in experiments_from_file(file, TrainOptions())] == [
        ("cartpole-ppo", 0.9),
        ("again", 0.8),
    ]
    [chosen] = experiments_from_file(file, TrainOptions(experiment_name="again"))
    assert chosen.config.gamma == 0.8
    with pytest.raises(UsageError, match="holds the experiments cartpole-ppo, again"):
        experiments_from_file(file, TrainOptions(experiment_name="other"))


@pytest.mark.parametrize(
    ("text", "suffix", "error", "message"),
    [
        ("stop = {}", ".py", UsageError, "does not define `config`"),
        ("config = {'lr': 1}", ".py", UsageError, "defines a dict"),
        (
            "\nimport module_of_nobody",
            ".py",
            CommandError,
            "experiment.py, line 2: ModuleNotFoundError: No module named",
        ),
        (PYTHON + "\nlr = 1 / 0", ".py", CommandError, "experiment.py, line 12: ZeroDivisionError: division by zero"),
        ("a = 1\nconfig = (", ".py", CommandError, r"experiment.py, line 2: SyntaxError: '\(' was never closed$"),
        ("def f():\n    config.x\n\nf()", ".py", CommandError, "experiment.py, line 2: NameError"),
        (PYTHON + "\nstop = {'training_iteration': 'five'}", ".py", UsageError, "needs a number"),
        (PYTHON + "\nrun_config = {}", ".py", UsageError, "should be a ray.tune.RunConfig"),
        (YAML.replace("gamma", "gama"), ".yaml", UsageError, "Did you mean gamma"),
        (YAML.replace("run: PPO", "run: POP"), ".yaml", UsageError, "Unknown algorithm 'POP'"),
        (YAML.replace("stop:", "halt:"), ".yaml", UsageError, "halt is not understood"),
        ("- a\n- b", ".yaml", UsageError, "expected experiments"),
        ("one: {env: CartPole-v1}", ".yaml", UsageError, "`run`, the name of the algorithm, is missing"),
        (YAML + "        horizon: 100", ".yaml", UsageError, "environments do that now"),
        (YAML + "        multiagent: {policies: [a]}", ".yaml", UsageError, "write the experiment in Python"),
        (YAML + "        observation_filter: Strange", ".yaml", UsageError, "none of NoFilter, MeanStdFilter"),
        (YAML + "            custom_model: mine", ".yaml", UsageError, "write an RLModule"),
        (YAML + "    checkpoint_config: {frequency: 1}", ".yaml", UsageError, "checkpoint_config: "),
        ("a: [", ".yaml", UsageError, "is not YAML"),
        ("", ".txt", UsageError, "neither Python"),
    ],
)
def test_files_that_are_no_experiment(
    read: Callable[..., Experiment], text: str, suffix: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        read(text, suffix)
