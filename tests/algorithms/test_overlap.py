"""Env runners act while updates are made, with weights that lack no more than they may."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import ray
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from runs import acting_weights, assert_different, assert_same, symbol_game, weights

from rllib_mamba import MAMBA, MAMBAConfig, QMIXConfig
from rllib_mamba.algorithms.overlap import OverlappedSampling
from rllib_mamba.algorithms.schedule import UpdateSchedule

pytestmark = pytest.mark.usefixtures("ray_cluster")

#: Of anything that has to happen at last, however busy the machine is.
SECONDS = 120


def wait_for(file: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while not file.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{file.name} did not happen.")
        time.sleep(0.01)


class Appointment(MultiAgentEnv):
    """One agent that sees the number of steps so far; if `meet` exists, a step leaves `acting` and awaits `met`."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.possible_agents = self.agents = ["only"]
        self.observation_spaces = {"only": gym.spaces.Box(0, np.inf, (1,), np.float32)}
        self.action_spaces = {"only": gym.spaces.Discrete(2)}
        self.directory = Path(config["directory"])
        self.steps = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        return {"only": np.array([self.steps], np.float32)}, {}

    def step(self, action_dict: dict[str, int]) -> tuple[Any, ...]:
        self.steps += 1
        if (self.directory / "meet").exists():
            (self.directory / "acting").touch()
            wait_for(self.directory / "met")
        over = {"__all__": self.steps % 10 == 0}
        return {"only": np.array([self.steps], np.float32)}, {"only": 1.0}, over, {"__all__": False}, {}


# Env runners in processes of their own cannot import what lies beside a test.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


def overlapped(**options: Any) -> MAMBAConfig:
    return symbol_game(overlap_acting=True, **options).env_runners(num_env_runners=1)


@pytest.fixture
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("appointment")


@pytest.fixture
def punctual(directory: Path) -> Iterator[MAMBA]:
    """An algorithm of one `Appointment` that has begun to learn, and has a cycle of updates to make."""
    config = overlapped(min_steps_before_learning=0, update_every=20)
    config.env_runners(num_envs_per_env_runner=1, rollout_fragment_length=20)
    algorithm = config.environment(Appointment, env_config={"directory": str(directory)}).build_algo()
    while not algorithm.update_schedule.cycles_done:
        algorithm.training_step()
    yield algorithm
    (directory / "met").touch()
    algorithm.stop()


def test_acting_goes_on_during_updates_and_what_comes_late_is_left_out(
    punctual: MAMBA, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    algorithm, update = punctual, punctual.learner_group.update
    before = weights(algorithm)

    def update_while_acting(**kwargs: Any) -> Any:
        wait_for(directory / "acting")
        results = update(**kwargs)
        (directory / "met").touch()
        return results

    monkeypatch.setattr(algorithm.learner_group, "update", update_while_acting)
    (directory / "meet").touch()
    algorithm.training_step()
    assert_different(weights(algorithm), before)
    *_, acting = acting_weights(algorithm)
    assert_same(acting, {name: before[name] for name in acting})
    monkeypatch.undo()

    # An env runner that does not answer in time: its 20 steps are left out, and it takes part again.
    (directory / "met").unlink()
    sampling = OverlappedSampling(algorithm.env_runner_group)
    sampling.begin()
    assert sampling.finish(timeout_seconds=0.0) == ([], [])
    (directory / "met").touch()
    for _ in range(2):
        sampling.begin()
        episodes, results = sampling.finish(SECONDS)
        if episodes:
            break
    assert len(results) == 1
    assert sum(episode.env_steps() for episode in episodes) == 20
    first = episodes[0].agent_episodes["team"].get_observations(0)["obs"].item()
    assert first == algorithm.update_schedule.env_steps + 20


def counts(algorithm: MAMBA, steps: int) -> list[tuple[int, int]]:
    """Env steps and cycles of updates after each of so many steps of training."""
    found = []
    for _ in range(steps):
        algorithm.training_step()
        found.append((algorithm.update_schedule.env_steps, algorithm.update_schedule.cycles_done))
    return found


def test_updates_follow_the_env_steps_as_ever_and_a_saved_run_goes_on(tmp_path: Path, build: Callable) -> None:
    # 48 env steps at a time: two cycles after most of them, one of which may overlap.
    config = overlapped(update_every=30, min_steps_before_learning=100).env_runners(rollout_fragment_length=12)
    algorithm = build(config)
    found = counts(algorithm, 6)
    taking_turns = UpdateSchedule(30, "env_steps", 100)
    env_steps_before = 0
    for env_steps, cycles in found:
        while taking_turns.cycles_due:
            taking_turns.cycle_done()
        assert cycles == taking_turns.cycles_done
        taking_turns.collected(env_steps - env_steps_before, 0)
        env_steps_before = env_steps
    assert taking_turns.cycles_done > 3
    assert algorithm.metrics.peek(("env_runners", "weights_staleness")) == 1

    saved = weights(algorithm)
    checkpoint = algorithm.save_to_path(tmp_path)
    algorithm.training_step()
    afterwards = weights(algorithm)
    assert_different(afterwards, saved)
    algorithm.training_step()
    algorithm.restore_from_path(checkpoint)
    # The same again with another algorithm, and with this one, gone back to what it saved.
    other = build(config.copy(copy_frozen=False))
    assert counts(other, 6) == found
    assert_same(weights(other), saved)
    for again in (algorithm, other):
        again.training_step()
        assert_same(weights(again), afterwards)
        assert again.replay_buffers["team"].num_env_steps_added_lifetime == again.update_schedule.env_steps


@pytest.mark.parametrize("config_class", [MAMBAConfig, QMIXConfig])
def test_without_env_runners_of_its_own_it_is_an_error(config_class: type[MAMBAConfig | QMIXConfig]) -> None:
    config = config_class().environment("symbol_game").training(overlap_acting=True)
    with pytest.raises(ValueError, match=r"num_env_runners=0.*env_runners\(num_env_runners=1\)"):
        config.validate()
    config.env_runners(num_env_runners=1).validate()
