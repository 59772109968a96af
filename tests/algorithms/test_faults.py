"""Env runners that die, environments that break, environments that give bad input."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_envs import Fragile

from rllib_mamba import MAMBAConfig
from rllib_mamba.replay import TeamReplayBuffer
from rllib_mamba.teams.errors import EnvironmentDataError

pytestmark = pytest.mark.usefixtures("ray_cluster")


def fragile(**env_config: Any) -> MAMBAConfig:
    return (
        MAMBAConfig()
        .environment(Fragile, env_config=env_config)
        .preset("debug")
        .env_runners(num_envs_per_env_runner=1, rollout_fragment_length=8)
        .debugging(log_level="ERROR")
    )


def check_sequences(buffer: TeamReplayBuffer) -> set[int]:
    """Makes sure that every stored sequence is made of whole steps of one episode; returns the processes seen."""
    rows = buffer.sample(512)
    process, episode, step = np.moveaxis(rows["obs"][:, :, 0], -1, 0)
    alive, last = rows["alive"][:, :, 0], rows["last"]
    followed = alive[:, :-1] & alive[:, 1:] & ~last[:, :-1]
    assert followed.any()
    for column, growth in ((process, 0), (episode, 0), (step, 1)):
        assert (np.diff(column, axis=1)[followed] == growth).all()
    # Nothing but an episode's beginning comes after its end.
    assert (step[:, 1:][last[:, :-1]] == 0).all()
    return set(process[alive].astype(int).tolist())


@pytest.mark.parametrize(("num_env_runners", "overlap"), [(1, False), (2, False), (1, True)])
def test_training_goes_on_after_an_env_runner_was_killed(
    num_env_runners: int, overlap: bool, tmp_path: Path, build: Callable
) -> None:
    config = fragile(fault="kill", fault_episode=8, marker=str(tmp_path / "killed")).training(overlap_acting=overlap)
    config.env_runners(num_env_runners=num_env_runners).fault_tolerance(restart_failed_env_runners=True)
    algorithm = build(config)
    first = set(algorithm.env_runner_group.foreach_env_runner(lambda runner: os.getpid(), local_env_runner=False))
    healthy, restarts = 0, 0
    deadline = time.monotonic() + 120
    while (healthy, restarts) != (num_env_runners, 1) and time.monotonic() < deadline:
        # An iteration may have to do without any experience.
        result = algorithm.train()
        healthy = result["fault_tolerance"]["num_healthy_workers"]
        restarts = result["fault_tolerance"]["num_remote_worker_restarts"]
    assert (tmp_path / "killed").exists()
    assert (healthy, restarts) == (num_env_runners, 1)

    steps = result["num_env_steps_sampled_lifetime"]
    result = algorithm.train()
    assert result["num_env_steps_sampled_lifetime"] >= steps + 100
    assert np.isfinite(result["learners"]["team"]["total_loss"])
    # Those of the beginning, the killed one among them, and a new one.
    processes = check_sequences(algorithm.replay_buffers["team"])
    assert {process % 2**20 for process in first} < processes
    assert len(processes) == num_env_runners + 1


@pytest.mark.parametrize("num_envs", [1, 3])
def test_an_environment_that_breaks_once_is_made_again(num_envs: int, tmp_path: Path, build: Callable) -> None:
    config = fragile(fault="raise", marker=str(tmp_path / "broken")).env_runners(num_envs_per_env_runner=num_envs)
    algorithm = build(config.fault_tolerance(restart_failed_sub_environments=True))
    for _ in range(3):
        result = algorithm.train()
    assert (tmp_path / "broken").exists()
    assert result["num_env_steps_sampled_lifetime"] >= 300
    assert np.isfinite(result["learners"]["team"]["total_loss"])
    check_sequences(algorithm.replay_buffers["team"])


BAD_INPUT = {
    "nan_reward": r"Agent 'only', step 5: reward nan",
    "inf_observation": r"Agent 'only', step 5: observation .*inf.*at index 1",
    "unknown_agent": r"Step 5: Fragile gave the reward 1.0 for the unknown agent 'stranger'; .*\['only'\]",
    "no_action": r"Agent 'only', step 5: action_mask \[0, 0\]: an agent that acts needs a legal action",
}


@pytest.mark.parametrize("fault", BAD_INPUT)
def test_bad_input_is_one_error(fault: str, build: Callable, caplog: pytest.LogCaptureFixture) -> None:
    algorithm = build(fragile(fault=fault))
    caplog.clear()
    with pytest.raises(EnvironmentDataError, match=BAD_INPUT[fault]) as raised:
        algorithm.train()
    assert raised.value.__cause__ is None
    # And RLlib's log does not tell of a crash beside it.
    assert not caplog.records


def test_environments_that_give_bad_input_are_not_made_again_and_again(build: Callable) -> None:
    algorithm = build(fragile(fault="nan_reward").fault_tolerance(restart_failed_sub_environments=True))
    with pytest.raises(EnvironmentDataError, match=BAD_INPUT["nan_reward"]):
        algorithm.train()


def test_bad_input_of_a_remote_environment_is_not_waited_for(build: Callable) -> None:
    # RLlib waits that long for an env runner that does not answer.
    algorithm = build(fragile(fault="nan_reward").env_runners(num_env_runners=1, sample_timeout_s=400))
    begin = time.monotonic()
    with pytest.raises(EnvironmentDataError, match=BAD_INPUT["nan_reward"]):
        algorithm.train()
    assert time.monotonic() - begin < 200
