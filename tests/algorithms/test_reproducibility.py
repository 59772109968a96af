"""A fixed seed gives the same run twice."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from interrupted_run import ITERATIONS_AFTER, ITERATIONS_BEFORE
from runs import acting_weights, afterwards_of, assert_different, assert_same, learner_results, symbol_game, weights

from rllib_mamba import MAMBA, MAMBAConfig

pytestmark = pytest.mark.usefixtures("ray_cluster")

ITERATIONS = ITERATIONS_BEFORE + ITERATIONS_AFTER


def run(algorithm: MAMBA, iterations: int = ITERATIONS) -> dict[str, Any]:
    """Everything that a run gives, as numbers by name."""
    numbers: dict[str, Any] = {}
    for iteration in range(iterations):
        result = algorithm.train()
        numbers |= {f"{iteration}/{name}": value for name, value in learner_results(result).items()}
        numbers[f"{iteration}/return"] = result["env_runners"]["episode_return_mean"]
        for agent, value in result["env_runners"]["agent_returns"].items():
            numbers[f"{iteration}/return of {agent}"] = value
    # What was collected, in the order in which it arrived.
    buffer = algorithm.replay_buffers["team"]
    starts = np.arange(len(buffer) // 2)
    numbers |= {f"collected/{name}": rows for name, rows in buffer.windows(starts).items()}
    return numbers | weights(algorithm)


def check_complete(numbers: dict[str, Any]) -> None:
    assert f"{ITERATIONS - 1}/team/total_loss" in numbers
    assert np.isfinite(numbers[f"{ITERATIONS - 1}/return"])


def with_runners(num_env_runners: int, seed: int = 3) -> MAMBAConfig:
    config = symbol_game(update_every=50)
    return config.env_runners(num_env_runners=num_env_runners, num_envs_per_env_runner=2).debugging(seed=seed)


@pytest.fixture(scope="module")
def with_two_runners(ray_cluster: None) -> Iterator[tuple[MAMBA, dict[str, Any]]]:
    """A run with two env runners in processes of their own, and everything that it gave."""
    algorithm = with_runners(2).build_algo()
    yield algorithm, run(algorithm)
    algorithm.stop()


def test_the_same_seed_gives_the_same_run(build: Callable) -> None:
    first = run(build(with_runners(0)))
    check_complete(first)
    assert_same(run(build(with_runners(0))), first)
    other = run(build(with_runners(0, seed=4)))
    assert_different(other, first)
    assert other[f"{ITERATIONS - 1}/team/total_loss"] != first[f"{ITERATIONS - 1}/team/total_loss"]
    assert not np.array_equal(other["collected/obs"], first["collected/obs"])


def test_the_same_seed_gives_the_same_run_with_two_env_runners(
    with_two_runners: tuple[MAMBA, dict[str, Any]], build: Callable
) -> None:
    _, first = with_two_runners
    check_complete(first)
    assert_same(run(build(with_runners(2))), first)


def test_another_process_gives_the_same_run(killed_run: Path, build: Callable) -> None:
    algorithm = build(symbol_game())
    numbers = run(algorithm)
    expected = afterwards_of(killed_run, "symbol_game")
    assert_same(weights(algorithm), expected["weights"])
    for name, value in expected["learners"].items():
        assert numbers[f"{ITERATIONS - 1}/{name}"] == value, name


def test_env_runners_that_answer_late_act_with_the_newest_weights(
    with_two_runners: tuple[MAMBA, dict[str, Any]],
) -> None:
    algorithm, _ = with_two_runners
    # Single steps: their experience is collected at once, not in several turns.
    while not (algorithm.update_schedule.cycles_done and algorithm.update_schedule.cycles_due):
        algorithm.training_step()
    # As a busy machine does: they have not answered yet when the next weights are due.
    algorithm.env_runner_group.foreach_env_runner_async(lambda env_runner: time.sleep(1), tag="set_state")
    algorithm.training_step()
    wanted = weights(algorithm)
    for acting in acting_weights(algorithm):
        assert acting
        for name, value in acting.items():
            np.testing.assert_array_equal(value, wanted[name], err_msg=name)
