"""MAMBA under Ray Tune, by its name."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from ray import tune
from ray.rllib.algorithms.algorithm import Algorithm

from rllib_mamba import MAMBA

pytestmark = pytest.mark.usefixtures("ray_cluster")


def run_config(storage: Path, iterations: int) -> tune.RunConfig:
    return tune.RunConfig(
        storage_path=str(storage),
        name="experiment",
        stop={"training_iteration": iterations},
        checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=True),
        verbose=0,
    )


def test_a_dictionary_with_a_grid_by_name(tmp_path: Path) -> None:
    settings = {
        "env": "symbol_game",
        "env_config": {"episode_length": 6},
        "preset": "debug",
        "num_env_runners": tune.grid_search([0, 1]),
        "seed": 1,
    }
    results = tune.Tuner("MAMBA", param_space=settings, run_config=run_config(tmp_path, 2)).fit()
    assert results.num_errors == 0
    assert sorted(result.config["num_env_runners"] for result in results) == [0, 1]
    for result in results:
        folder = Path(result.path)
        rows = [json.loads(line) for line in (folder / "result.json").read_text().splitlines()]
        assert [row["training_iteration"] for row in rows] == [1, 2]
        assert rows[-1]["env_runners"]["episode_len_mean"] == 6
        assert rows[-1]["learners"]["team"]["kl_loss"] > 0
        with (folder / "progress.csv").open() as file:
            table = list(csv.DictReader(file))
        assert len(table) == 2
        assert float(table[-1]["env_runners/agent_returns/player_2"]) >= 0
        assert list(folder.glob("events.out.tfevents.*"))
        params = json.loads((folder / "params.json").read_text())
        assert params["num_env_runners"] == result.config["num_env_runners"]

    [local] = [result for result in results if result.config["num_env_runners"] == 0]
    algorithm = Algorithm.from_checkpoint(Path(local.checkpoint.path))
    assert isinstance(algorithm, MAMBA)
    assert algorithm.config.num_env_runners == 0
    assert algorithm.config.hidden_size == 32
    assert algorithm.iteration == 2
    algorithm.stop()


def test_a_configuration_object_in_another_process(tmp_path: Path) -> None:
    """What the README shows, with nothing but `import rllib_mamba` before it."""
    code = (
        "import ray, rllib_mamba; from ray import tune; from rllib_mamba import MAMBAConfig\n"
        "ray.init(address='local', num_cpus=2, include_dashboard=False)\n"
        "config = MAMBAConfig().environment('symbol_game').preset('debug')\n"
        f"run = tune.RunConfig(storage_path={str(tmp_path)!r}, name='experiment', stop={{'training_iteration': 1}})\n"
        "[result] = tune.Tuner('MAMBA', param_space=config, run_config=run).fit()\n"
        "assert result.error is None, result.error\n"
        "print('trained', result.metrics['num_env_steps_sampled_lifetime'])\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert float(ran.stdout.splitlines()[-1].removeprefix("trained ")) >= 100


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"env": "symbol_gam"}, "Unknown environment 'symbol_gam'. Did you mean 'symbol_game'"),
        ({"hidden_sise": 3}, "has no option 'hidden_sise'. Did you mean hidden_size"),
        ({"preset": "debgu"}, "Did you mean 'debug'"),
        ({"num_env_runners": 50}, "The run needs 51 CPUs, but the Ray cluster has 4. Lower num_env_runners"),
        ({"num_gpus_per_learner": 1}, "The run needs 1 GPUs, but the Ray cluster has 0. Lower num_gpus_per_learner"),
    ],
    ids=["environment", "option", "preset", "CPUs", "GPUs"],
)
def test_bad_settings_are_one_error_before_a_trial_starts(change: dict, message: str, tmp_path: Path) -> None:
    settings = {"env": "symbol_game", "preset": "debug", **change}
    with pytest.raises(ValueError, match=message):
        tune.Tuner("MAMBA", param_space=settings, run_config=run_config(tmp_path, 1)).fit()
