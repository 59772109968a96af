"""Curricula in training: MAMBA and PPO, env runners here and in other processes."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lessons import LENGTH, Lessons, Untaught, die, played
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.ppo import PPOConfig

from rllib_mamba import MAMBAConfig
from rllib_mamba.curriculum import CurriculumCallback

pytestmark = pytest.mark.usefixtures("ray_cluster")

ENVIRONMENTS = 2
#: Episodes in an iteration; iterations end with episodes.
ROUND = 3 * ENVIRONMENTS
TASKS = [{"level": 1, "won": 1.0}, {"level": 2, "won": 0.5}, {"level": 3, "won": 0.0}]
IN_ORDER = {"kind": "in_order", "tasks": TASKS, "episodes": [4, 5, 1], "metric": "won"}
WEIGHTED = {"kind": "weighted", "tasks": TASKS, "weights": [1, 1, 2], "metric": "won"}
PRIORITIZED = {"kind": "prioritized", "tasks": TASKS, "metric": "won"}


def mamba(curriculum: Any, env: Any = Lessons) -> AlgorithmConfig:
    config = MAMBAConfig().environment(env, env_config={"curriculum": curriculum}).preset("debug")
    return _small(config.training(min_steps_before_learning=10_000)).reporting(min_sample_timesteps_per_iteration=0)


def ppo(curriculum: Any, env: Any = Lessons) -> AlgorithmConfig:
    config = PPOConfig().environment(env, disable_env_checking=True).callbacks(partial(CurriculumCallback, curriculum))
    config.multi_agent(policies={"pupil"}, policy_mapping_fn=lambda *args, **kwargs: "pupil")
    config.rl_module(model_config={"fcnet_hiddens": [4]})
    return _small(config.training(num_epochs=1, train_batch_size=ROUND * LENGTH, minibatch_size=None))


def _small(config: AlgorithmConfig) -> AlgorithmConfig:
    steps = ROUND * LENGTH // ENVIRONMENTS
    config.env_runners(num_env_runners=0, num_envs_per_env_runner=ENVIRONMENTS, rollout_fragment_length=steps)
    return config.debugging(seed=5, log_level="ERROR")


ALGORITHMS = pytest.mark.parametrize("make", [mamba, ppo])


@pytest.fixture
def build() -> Iterator[Callable[[AlgorithmConfig], Algorithm]]:
    """Builds algorithms and stops them after the test."""
    algorithms = []

    def make(config: AlgorithmConfig) -> Algorithm:
        algorithms.append(config.build_algo())
        return algorithms[-1]

    yield make
    for algorithm in algorithms:
        algorithm.stop()


def reported(result: dict[str, Any], name: str) -> list[float]:
    return [task[name] for task in result["env_runners"]["curriculum"].values()]


@ALGORITHMS
def test_tasks_follow_each_other_after_exactly_so_many_episodes(make: Callable, build: Callable) -> None:
    algorithm = build(make(IN_ORDER))
    results = [algorithm.train() for _ in range(2)]
    [[first, second]] = algorithm.env_runner_group.foreach_env_runner(played)
    # Of the last ones only those are counted that have been finished.
    order = [level for both in zip(first, second, strict=True) for level in both][: 2 * ROUND]
    assert order == [1] * 4 + [2] * 5 + [3] * 3
    assert [reported(result, "episodes") for result in results] == [[4, 2, 0], [4, 5, 3]]
    assert [reported(result, "probability") for result in results] == [[0, 1, 0], [0, 0, 1]]
    assert reported(results[1], "score") == [1.0, 0.5, 0.0]
    assert np.isnan(reported(results[0], "score")[2])
    # RLlib's own numbers are of the same episodes: a level's reward at every step, for every pupil or the team.
    of_each = LENGTH * (1 if make is mamba else 2)
    assert results[0]["env_runners"]["episode_return_max"] == 2 * of_each


@pytest.mark.parametrize(("make", "curriculum"), [(mamba, WEIGHTED), (ppo, PRIORITIZED)])
def test_a_restored_run_goes_on_exactly(make: Callable, curriculum: Any, tmp_path: Path, build: Callable) -> None:
    algorithm = build(make(curriculum))
    for _ in range(2):
        algorithm.train()
    checkpoint = algorithm.save_to_path(tmp_path)
    expected = [algorithm.train()["env_runners"]["curriculum"] for _ in range(3)]
    assert expected[0] != expected[1]
    restored = Algorithm.from_checkpoint(checkpoint)
    assert [restored.train()["env_runners"]["curriculum"] for _ in range(3)] == expected
    restored.stop()
    # An algorithm that is ahead goes back.
    algorithm.restore_from_path(checkpoint)
    assert algorithm.curriculum.progress.total_episodes == 2 * ROUND
    state = algorithm.get_state()
    algorithm.train()
    algorithm.set_state(state)
    assert algorithm.curriculum.progress.total_episodes == 2 * ROUND


def test_another_curriculum_begins_with_its_first_episode(tmp_path: Path, build: Callable) -> None:
    algorithm = build(ppo(IN_ORDER))
    algorithm.train()
    checkpoint = algorithm.save_to_path(tmp_path)
    another = build(ppo({**IN_ORDER, "tasks": TASKS[::-1]}))
    another.restore_from_path(checkpoint)
    assert another.curriculum.progress.total_episodes == 0


def test_tasks_that_need_it_are_played_more_often(build: Callable) -> None:
    algorithm = build(ppo(PRIORITIZED))
    for _ in range(10):
        result = algorithm.train()
    # Ranks 3, 2, 1 by the metric: 2 : 3 : 6, a tenth by age.
    easy, _, hard = reported(result, "episodes")
    assert hard > 1.5 * easy
    assert reported(result, "probability")[2] == pytest.approx(0.9 * 6 / 11, abs=0.1)


class TestSeveralEnvRunners:
    @pytest.fixture(scope="class")
    def algorithm(self) -> Iterator[Algorithm]:
        config = mamba(WEIGHTED).env_runners(num_env_runners=2)
        algorithm = config.fault_tolerance(restart_failed_env_runners=True).build_algo()
        yield algorithm
        algorithm.stop()

    def test_each_draws_for_itself_and_all_are_counted(self, algorithm: Algorithm) -> None:
        result = algorithm.train()
        [one, two] = algorithm.env_runner_group.foreach_env_runner(played, local_env_runner=False)
        assert one != two
        finished = [level for levels in one + two for level in levels[: ROUND // ENVIRONMENTS]]
        assert len(finished) == 2 * ROUND
        assert reported(result, "episodes") == [finished.count(level) for level in (1, 2, 3)]

    def test_one_that_was_started_again_goes_on_with_the_tasks(self, algorithm: Algorithm) -> None:
        group = algorithm.env_runner_group
        group.foreach_env_runner(die, local_env_runner=False, remote_worker_ids=[2], timeout_seconds=5)
        for _ in range(20):
            algorithm.train()
            if group.num_healthy_remote_workers() == 2:
                break
        [[first, second]] = group.foreach_env_runner(played, local_env_runner=False, remote_worker_ids=[2])
        assert first
        assert {*first, *second} <= {1, 2, 3}

    def test_they_say_what_is_wrong_with_a_task(self, algorithm: Algorithm) -> None:
        callback = CurriculumCallback({**WEIGHTED, "tasks": [{}, {}, {"levle": 3}]})
        with pytest.raises(ValueError, match="Lessons has no option 'levle'"):
            callback.on_algorithm_init(algorithm=algorithm)


def test_evaluation_is_on_the_environment_as_it_was_configured(build: Callable) -> None:
    config = ppo(IN_ORDER).evaluation(evaluation_interval=1, evaluation_duration=3)
    algorithm = build(config)
    algorithm.train()
    [[first, second]] = algorithm.eval_env_runner_group.foreach_env_runner(played)
    assert {*first, *second} == {0}
    # Without env runners of its own it borrows those of training.
    algorithm = build(mamba(IN_ORDER))
    algorithm.train()
    before = len(played(algorithm.env_runner)[0])
    algorithm.evaluate()
    assert set(played(algorithm.env_runner)[0][before:]) == {0}
    result = algorithm.train()
    assert sum(reported(result, "episodes")) == 2 * ROUND
    assert reported(result, "episodes") == [4, 5, 3]


class TestBadInput:
    @ALGORITHMS
    def test_a_task_that_the_environment_refuses(self, make: Callable) -> None:
        curriculum = {**IN_ORDER, "tasks": {"easy": {}, "hard": {"levle": 3}}, "episodes": 1}
        message = "The task 'hard' of the curriculum cannot be used .* Lessons has no option 'levle'"
        with pytest.raises(ValueError, match=message):
            make(curriculum).build_algo()

    def test_an_environment_without_tasks(self) -> None:
        with pytest.raises(ValueError, match=r"Untaught has no method `set_task\(task\)`"):
            mamba(IN_ORDER, Untaught).validate()

    def test_a_wrong_description(self) -> None:
        with pytest.raises(ValueError, match="The curriculum cannot be used: in_order needs 'episodes'"):
            mamba({"kind": "in_order", "tasks": TASKS}).validate()

    def test_a_metric_that_never_appears(self, build: Callable) -> None:
        algorithm = build(ppo({**IN_ORDER, "metric": "win"}))
        with pytest.raises(ValueError, match=r"metric is 'win', .* no such metric, but with 'won', 'episode_return'"):
            algorithm.train()

    def test_two_curricula(self) -> None:
        config = mamba(IN_ORDER).callbacks(partial(CurriculumCallback, WEIGHTED))
        with pytest.raises(ValueError, match="two curricula"):
            config.build_algo()


def test_without_a_curriculum_nothing_changes(build: Callable) -> None:
    algorithm = build(mamba(None))
    assert "curriculum" not in algorithm.train()["env_runners"]
    assert "curriculum" not in algorithm.get_state()
