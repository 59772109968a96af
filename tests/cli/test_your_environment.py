"""The example of docs/your_environment.md does what the page says."""

import json
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rllib_mamba.registry import make_environment

PAGE = Path(__file__).parents[2] / "docs" / "your_environment.md"
NAME = "thin_ice:ThinIce"


@pytest.fixture(autouse=True)
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example as a file of the current folder."""
    [code] = re.findall(r"`thin_ice\.py`:\n\n((?:    .*\n|\n)+)", PAGE.read_text())
    (tmp_path / "thin_ice.py").write_text(textwrap.dedent(code))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


def test_example_has_no_faults(rllib: Callable[..., Any]):
    ran = rllib("check-env", NAME, "--episodes", 5)
    assert ran.code == 0
    assert "0 errors, 0 warnings, 0 notes" in ran.out


def test_skaters_drown_jump_and_arrive():
    env = make_environment(NAME, {"skaters": 1, "width": 4})
    outcomes = set()
    for seed in range(10):
        env.reset(seed=seed)
        crack = env.cracks["skater_0"][2]
        # A jump without a rest is a step.
        _, rewards, *_ = env.step({"skater_0": 2})
        assert env.place == {"skater_0": 1}
        if seed % 2:
            env.step({"skater_0": 0})
            _, rewards, terminateds, *_ = env.step({"skater_0": 2})
            assert env.place == {"skater_0": 3}
            assert not terminateds["skater_0"]
            _, rewards, terminateds, _, infos = env.step({"skater_0": 1})
        else:
            _, rewards, terminateds, _, infos = env.step({"skater_0": 1})
            assert terminateds["skater_0"] == terminateds["__all__"] == crack
        if terminateds["__all__"]:
            outcomes.add((rewards["skater_0"], infos["__common__"]["episode_metrics"]["arrived"]))
    assert outcomes == {(1.0, 1.0), (-1.0, 0.0)}


@pytest.mark.parametrize(
    "algorithm",
    [
        ["MAMBA", "--preset", "debug"],
        ["PPO", "--num-env-runners", 0, "-c", "train_batch_size_per_learner=128", "-c", "minibatch_size=64"],
    ],
    ids=["MAMBA", "PPO"],
)
def test_example_is_trained_from_the_command_line(
    algorithm: list[Any], cluster: None, rllib: Callable[..., Any], tmp_path: Path
):
    ran = rllib(
        *("train", "--algo", *algorithm, "--env", NAME, "-c", "env_config.skaters=2"),
        *("--stop-iters", 2, "--no-tune", "--local-dir", tmp_path),
    )
    assert ran.code == 0, ran.error
    [results] = tmp_path.glob("default/*/result.json")
    last = json.loads(results.read_text().splitlines()[-1])
    assert last["training_iteration"] == 2
    assert last["env_runners"]["episode_return_mean"] <= 2
    if algorithm[0] == "MAMBA":
        assert 0 <= last["env_runners"]["episode_metrics"]["arrived"] <= 1
