import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("flatland")

from ray.rllib.env.env_context import EnvContext
from ray.rllib.utils.pre_checks.env import check_multiagent_environments

from rllib_mamba.envs.flatland import PRESETS, FlatlandEnv
from rllib_mamba.envs.flatland.baselines import shortest_path_action

DEBUG = {**PRESETS["flatland_debug"], "number_of_trains": 2}
CROWDED = {**DEBUG, "number_of_trains": 8}

Choose = Callable[[np.ndarray], int]


def play(env: FlatlandEnv, choose: Choose, seed: int | None = None) -> list[tuple[Any, ...]]:
    """One episode: what `reset` gave, then what each `step` gave; only trains that have not terminated act."""
    observations, infos = env.reset(seed=seed)
    results: list[tuple[Any, ...]] = [(observations, infos)]
    while True:
        result = env.step({agent_id: choose(observation) for agent_id, observation in observations.items()})
        results.append(result)
        terminateds, truncateds = result[2], result[3]
        if terminateds["__all__"] or truncateds["__all__"]:
            return results
        observations = {agent_id: row for agent_id, row in result[0].items() if not terminateds[agent_id]}


def random_choice(seed: int) -> Choose:
    generator = np.random.default_rng(seed)
    return lambda observation: int(generator.integers(3))


def trace(results: list[tuple[Any, ...]]) -> np.ndarray:
    """All observations of an episode, one after the other."""
    return np.concatenate([row for result in results for row in result[0].values()])


def first_observation(env: FlatlandEnv, seed: int | None = None) -> np.ndarray:
    return np.stack(list(env.reset(seed=seed)[0].values()))


def test_rllibs_own_check() -> None:
    check_multiagent_environments(FlatlandEnv(DEBUG))


def test_spaces_hold_what_the_environment_gives() -> None:
    env = FlatlandEnv(DEBUG)
    for result in play(env, random_choice(0), seed=0):
        for agent_id, observation in result[0].items():
            assert env.observation_spaces[agent_id].contains(observation)
    assert env.possible_agents == ["train_0", "train_1"]


def test_every_train_can_reach_a_target_that_is_not_its_start() -> None:
    env = FlatlandEnv({**PRESETS["flatland_10_agents"], "seed": 0})
    for _ in range(5):
        for observation in env.reset()[0].values():
            assert -10 < observation[5] < 0, "the distance to the target is positive and known"


class TestSeeding:
    def test_the_same_seed_gives_the_same_episode(self) -> None:
        env = FlatlandEnv(DEBUG)
        first = play(env, random_choice(0), seed=7)
        play(env, random_choice(1))
        again = play(env, random_choice(0), seed=7)
        elsewhere = play(FlatlandEnv({**DEBUG, "seed": 1}), random_choice(0), seed=7)
        np.testing.assert_array_equal(trace(first), trace(again))
        np.testing.assert_array_equal(trace(first), trace(elsewhere))

    def test_every_episode_has_another_map(self) -> None:
        env = FlatlandEnv({**DEBUG, "seed": 3})
        maps = []
        for _ in range(3):
            env.reset()
            maps.append(env.rail_env.rail.grid.tobytes())
        assert len(set(maps)) == 3

    def test_a_configured_seed_gives_the_same_series_of_episodes(self) -> None:
        one, other = (FlatlandEnv({**DEBUG, "seed": 3}) for _ in range(2))
        for episode in range(3):
            np.testing.assert_array_equal(
                trace(play(one, random_choice(episode))), trace(play(other, random_choice(episode)))
            )

    def test_without_a_seed_no_two_environments_are_alike(self) -> None:
        assert not np.array_equal(first_observation(FlatlandEnv(DEBUG)), first_observation(FlatlandEnv(DEBUG)))

    def test_workers_and_their_environments_see_different_maps(self) -> None:
        def observe(worker: int, vector: int, seed: int | None = None) -> bytes:
            context = EnvContext({**DEBUG, "seed": 3}, worker_index=worker, vector_index=vector)
            return first_observation(FlatlandEnv(context), seed).tobytes()

        indices = [(1, 0), (2, 0), (1, 1), (2, 1)]
        assert len({observe(*index) for index in indices}) == 4
        assert len({observe(*index, seed=11) for index in indices}) == 4
        assert observe(2, 1) == observe(2, 1)

    def test_global_random_numbers_are_neither_used_nor_changed(self) -> None:
        random.seed(0)
        np.random.seed(0)
        before = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[union-attr,index]
        one = trace(play(FlatlandEnv({**DEBUG, "seed": 3}), random_choice(0)))
        after = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[union-attr,index]
        assert before == after
        random.seed(1)
        np.random.seed(1)
        np.testing.assert_array_equal(one, trace(play(FlatlandEnv({**DEBUG, "seed": 3}), random_choice(0))))


class TestEpisode:
    @pytest.mark.parametrize("seed", range(6))
    def test_trains_that_have_terminated_never_come_back(self, seed: int) -> None:
        env = FlatlandEnv(CROWDED)
        gone: set[str] = set()
        for observations, rewards, terminateds, truncateds, _ in play(env, random_choice(seed), seed)[1:]:
            expected = set(env.possible_agents) - gone
            assert set(observations) == set(rewards) == expected
            assert set(terminateds) == set(truncateds) == expected | {"__all__"}
            gone |= {agent_id for agent_id in expected if terminateds[agent_id]}
            assert not any(terminateds[agent_id] and truncateds[agent_id] for agent_id in expected)
            assert terminateds["__all__"] == (gone == set(env.possible_agents))

    @pytest.mark.parametrize("seed", range(6))
    def test_metrics_tell_how_the_episode_went(self, seed: int) -> None:
        env = FlatlandEnv({**CROWDED, "rewards": {"finish": 10.0, "deadlock": -5.0}})
        results = play(env, shortest_path_action, seed)
        rewards = [reward for result in results[1:] for reward in result[1].values()]
        assert all("episode_metrics" not in result[-1]["__common__"] for result in results[:-1])
        metrics = results[-1][-1]["__common__"]["episode_metrics"]
        assert metrics == {
            "arrived": rewards.count(10.0) / 8,
            "deadlocked": rewards.count(-5.0) / 8,
            "episode_length": float(len(results) - 1),
        }

    def test_some_trains_arrive_and_some_are_deadlocked(self) -> None:
        env = FlatlandEnv(CROWDED)
        metrics = [play(env, shortest_path_action, s)[-1][-1]["__common__"]["episode_metrics"] for s in range(6)]
        assert 0 < np.mean([episode["arrived"] for episode in metrics]) < 1
        assert 0 < np.mean([episode["deadlocked"] for episode in metrics]) < 1

    def test_the_time_limit_truncates_trains_still_on_their_way(self) -> None:
        env = FlatlandEnv(DEBUG)
        results = play(env, lambda observation: 2, seed=0)
        _, _, terminateds, truncateds, infos = results[-1]
        assert len(results) - 1 == env.settings.episode_limit == 8 * (22 + 22 + 2 / 2)
        assert terminateds == {"train_0": False, "train_1": False, "__all__": False}
        assert truncateds == {"train_0": False, "train_1": False, "__all__": True}
        assert infos["__common__"]["episode_metrics"]["arrived"] == 0

    def test_a_train_that_only_stops_never_departs(self) -> None:
        env = FlatlandEnv({**DEBUG, "malfunction_rate": 0.0})
        first, *steps = play(env, lambda observation: 2, seed=0)
        for result in steps:
            np.testing.assert_array_equal(np.stack(list(result[0].values())), np.stack(list(first[0].values())))

    def test_progress_is_rewarded_cell_by_cell(self) -> None:
        env = FlatlandEnv({**DEBUG, "number_of_trains": 1, "malfunction_rate": 0.0})
        results = play(env, shortest_path_action, seed=0)
        rewards = [result[1]["train_0"] for result in results[1:]]
        distance = 100 * (results[0][0]["train_0"][5] + 10)
        assert rewards[0] == 0  # it appears on the map
        assert rewards[1:-1] == pytest.approx([0.01] * (len(rewards) - 2))
        assert rewards[-1] == pytest.approx(10.01)
        assert len(rewards) == round(float(distance)) + 1

    def test_flatlands_own_timetable(self) -> None:
        env = FlatlandEnv({**DEBUG, "launcher": "flatland_timetable"})
        results = play(env, shortest_path_action, seed=2)
        ready = np.array([[row[8] for row in result[0].values()] for result in results[:2]])
        assert (ready == -1).any(), "no train had to wait for its departure"
        assert len(results) - 1 <= env.rail_env._max_episode_steps != env.settings.episode_limit


class TestCommunicationMask:
    def test_every_step_has_one_and_all_hear_themselves(self) -> None:
        results = play(FlatlandEnv(CROWDED), random_choice(0), seed=0)
        masks = np.stack([result[-1]["__common__"]["comm_mask"] for result in results])
        assert masks.dtype == np.int8
        assert masks.shape[1:] == (8, 8)
        assert set(np.unique(masks)) == {0, 1}
        assert masks[:, range(8), range(8)].all()
        assert masks[0].sum() == 8, "before anyone is on the map there is no one to hear"
        assert masks.sum() > 8 * len(masks)


class TestMisuse:
    def test_steps_without_an_episode(self) -> None:
        env = FlatlandEnv(DEBUG)
        with pytest.raises(RuntimeError, match=r"call reset\(\)"):
            env.step({})
        play(env, random_choice(0), seed=0)
        with pytest.raises(RuntimeError, match=r"call reset\(\)"):
            env.step({"train_0": 0, "train_1": 0})

    @pytest.mark.parametrize("actions", [{"train_0": 0}, {"train_0": 0, "train_1": 3}])
    def test_missing_or_impossible_actions(self, actions: dict[str, int]) -> None:
        env = FlatlandEnv(DEBUG)
        env.reset(seed=0)
        with pytest.raises(ValueError, match="train_1 needs an action from 0 to 2"):
            env.step(actions)


def test_rendering_without_a_display() -> None:
    env = FlatlandEnv(DEBUG)
    with pytest.raises(RuntimeError, match=r"before reset\(\)"):
        env.render()
    env.reset(seed=0)
    image = env.render()
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert image.std() > 0
