"""Results as RLlib writes them, and runs with curves of one's own made from them."""

import copy
import json
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import tune
from ray.rllib.algorithms.ppo import PPOConfig

METRIC = "env_runners/episode_return_mean"
EVALUATIONS = 2


@pytest.fixture(scope="session")
def tune_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an experiment of plain RLlib: PPO on CartPole, one seed, four results, two evaluations."""
    if not ray.is_initialized():
        ray.init(address="local", num_cpus=4, num_gpus=0, include_dashboard=False, log_to_driver=False)
    folder = tmp_path_factory.mktemp("plain")
    config = (
        PPOConfig()
        .environment("CartPole-v1")
        .env_runners(num_env_runners=0)
        .training(train_batch_size_per_learner=64, minibatch_size=64, num_epochs=1)
        .evaluation(evaluation_interval=2, evaluation_duration=2, evaluation_num_env_runners=0)
        .debugging(seed=1)
    )
    stop = {"training_iteration": 2 * EVALUATIONS}
    run_config = tune.RunConfig(stop=stop, storage_path=str(folder), name="ppo", verbose=0)
    tune.Tuner("PPO", param_space=config, run_config=run_config).fit()
    return folder / "ppo"


@pytest.fixture(scope="session")
def template(tune_results: Path) -> dict[str, Any]:
    """The last result of a real run."""
    return json.loads(sorted(tune_results.glob("*/result.json"))[0].read_text().splitlines()[-1])


@pytest.fixture
def make_run(template: dict[str, Any], tmp_path: Path) -> Callable[..., Path]:
    """Makes the folder of a run from the returns it had at env steps 100, 200, ..., each over ten episodes."""

    def make(
        name: str,
        returns: Sequence[float],
        seed: int = 0,
        algorithm: str = "PPO",
        steps: int = 100,
        changes: dict[str, Any] | None = None,
        settings: dict[str, Any] | None = None,
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        lines = []
        for index, value in enumerate(returns, start=1):
            row = copy.deepcopy(template)
            del row["evaluation"]
            row["env_runners"] |= {"episode_return_mean": value, "num_episodes": 10}
            row |= {"num_env_steps_sampled_lifetime": index * steps, "training_iteration": index}
            row |= {"time_total_s": 36.0 * index, "timestamp": zlib.crc32(name.encode()), **(changes or {})}
            row["config"] |= {"seed": seed, "class": f"<class 'x.{algorithm}Config'>", **(settings or {})}
            lines.append(json.dumps(row))
        (folder / "result.json").write_text("\n".join(lines) + "\n")
        return folder

    return make
