"""Episodes with settings of their own: `set_task`, and numbers of trains that vary."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("flatland")

from ray.rllib.env.multi_agent_episode import MultiAgentEpisode

from rllib_mamba.envs.flatland import PRESETS, FlatlandEnv
from rllib_mamba.envs.flatland.baselines import shortest_path_action
from rllib_mamba.teams.team_env import TeamEnv

DEBUG = {**PRESETS["flatland_debug"], "number_of_trains": 2}
UP_TO_FOUR = {**DEBUG, "max_number_of_trains": 4}


def first_branch(observation: np.ndarray) -> int:
    return 0


def play(
    env: Any, seed: int | None = None, choose: Callable[[np.ndarray], int] = first_branch
) -> list[tuple[Any, ...]]:
    """One episode: what `reset` gave, then what each `step` gave."""
    observations, infos = env.reset(seed=seed)
    results: list[tuple[Any, ...]] = [(observations, infos)]
    while True:
        results.append(env.step({agent: choose(observation) for agent, observation in observations.items()}))
        observations, _, terminateds, truncateds, _ = results[-1]
        if terminateds["__all__"] or truncateds["__all__"]:
            return results
        observations = {agent: row for agent, row in observations.items() if not terminateds[agent]}


def test_trains_that_are_not_in_an_episode_never_appear() -> None:
    env = FlatlandEnv(UP_TO_FOUR)
    assert env.possible_agents == ["train_0", "train_1", "train_2", "train_3"]
    results = play(env, seed=0)
    for result in results:
        assert set(result[0]) <= {"train_0", "train_1"}
        mask = result[-1]["__common__"]["comm_mask"]
        assert mask.shape == (4, 4)
        np.testing.assert_array_equal(mask[2:], np.eye(4)[2:])
    assert not any("train_2" in flags or "train_3" in flags for result in results[1:] for flags in result[1:4])


def test_metrics_are_fractions_of_the_trains_that_there_are() -> None:
    env = FlatlandEnv({**UP_TO_FOUR, "number_of_trains": 1, "malfunction_rate": 0.0})
    results = play(env, seed=1, choose=shortest_path_action)
    assert results[-1][-1]["__common__"]["episode_metrics"]["arrived"] == 1.0


def test_spaces_for_more_trains_change_nothing_about_an_episode() -> None:
    few, many = play(FlatlandEnv(DEBUG), seed=3), play(FlatlandEnv(UP_TO_FOUR), seed=3)
    assert len(few) == len(many)
    for one, other in zip(few, many, strict=True):
        assert one[0].keys() == other[0].keys()
        for agent, observation in one[0].items():
            np.testing.assert_array_equal(observation, other[0][agent])


class TestTask:
    def test_the_next_episode_is_that_of_an_environment_made_with_these_settings(self) -> None:
        task = {"number_of_trains": 4, "width": 26, "height": 24, "malfunction_rate": 0.0, "number_of_cities": 3}
        env = FlatlandEnv(UP_TO_FOUR)
        play(env, seed=1)
        env.set_task(task)
        made = FlatlandEnv({**UP_TO_FOUR, **task})
        for one, other in zip(play(env, seed=5), play(made, seed=5), strict=True):
            assert one[0].keys() == other[0].keys()
            for agent, observation in one[0].items():
                np.testing.assert_array_equal(observation, other[0][agent])
        assert env.rail_env.rail.grid.shape == (24, 26)

    def test_the_running_episode_goes_on_as_it_is(self) -> None:
        env, undisturbed = FlatlandEnv(UP_TO_FOUR), FlatlandEnv(UP_TO_FOUR)
        expected = play(undisturbed, seed=2)
        observations, _ = env.reset(seed=2)
        env.set_task({"number_of_trains": 3, "rewards": {"zero": 1.0}})
        for result in expected[1:]:
            observations, rewards, ends, _, _ = env.step(dict.fromkeys(observations, 0))
            assert rewards == result[1]
            observations = {agent: row for agent, row in observations.items() if not ends[agent]}
        assert len(env.reset()[0]) == 3

    def test_tasks_replace_each_other(self) -> None:
        env = FlatlandEnv(UP_TO_FOUR)
        assert env.get_task() == {}
        env.set_task({"number_of_trains": 3})
        env.set_task({"width": 30})
        assert env.get_task() == {"width": 30}
        assert len(env.reset(seed=0)[0]) == 2
        assert env.rail_env.width == 30
        env.set_task({})
        env.reset(seed=0)
        assert env.rail_env.width == 22

    @pytest.mark.parametrize(
        ("task", "message"),
        [
            ({"number_of_trians": 3}, "did you mean 'number_of_trains'"),
            ({"number_of_trains": 5}, r"number_of_trains must be at most max_number_of_trains \(4\), got 5"),
            ({"number_of_trains": 0}, "number_of_trains must be at least 1"),
            ({"tree_depth": 1}, "a task cannot change tree_depth"),
            ({"seed": 1, "max_number_of_trains": 9}, "a task cannot change max_number_of_trains, seed"),
            ({"width": 9}, "do not fit"),
        ],
    )
    def test_a_bad_task_is_named_and_changes_nothing(self, task: dict, message: str) -> None:
        env = FlatlandEnv(UP_TO_FOUR)
        env.set_task({"number_of_trains": 3})
        with pytest.raises(ValueError, match=message):
            env.set_task(task)
        assert env.get_task() == {"number_of_trains": 3}
        assert len(env.reset(seed=0)[0]) == 3


class TestInRLlib:
    @pytest.mark.parametrize("members", [[[0, 1, 2, 3]], [[0, 1], [2, 3]]], ids=["one team", "a team that stays away"])
    def test_teams_have_rows_for_trains_that_do_not_appear(self, members: list[list[int]]) -> None:
        teams = {f"team_{i}": [f"train_{handle}" for handle in team] for i, team in enumerate(members)}
        env = TeamEnv(FlatlandEnv({**UP_TO_FOUR, "action_masks": True}), teams)
        for number in (2, 4, 1):
            env.env.set_task({"number_of_trains": number})
            observations, _ = env.reset(seed=number)
            alive = np.concatenate([observations[team]["alive"] for team in teams])
            assert alive.tolist() == [1] * number + [0] * (4 - number)
            over = False
            while not over:
                actions = {team: np.zeros(len(teams[team]), np.int64) for team in observations}
                observations, _, terminateds, truncateds, _ = env.step(actions)
                for team, observation in observations.items():
                    assert env.observation_spaces[team].contains(observation)
                over = terminateds["__all__"] or truncateds["__all__"]

    def test_episodes_of_rllib_take_them(self) -> None:
        env = FlatlandEnv(UP_TO_FOUR)
        for number in (3, 1):
            env.set_task({"number_of_trains": number})
            observations, infos = env.reset(seed=number)
            episode = MultiAgentEpisode(
                observation_space=env.observation_spaces,
                action_space=env.action_spaces,
                agent_to_module_mapping_fn=lambda agent, episode: "policy",
            )
            episode.add_env_reset(observations=observations, infos=infos)
            while not episode.is_done:
                actions = dict.fromkeys(episode.get_agents_to_act(), 0)
                observations, rewards, terminateds, truncateds, infos = env.step(actions)
                episode.add_env_step(
                    observations, actions, rewards, infos, terminateds=terminateds, truncateds=truncateds
                )
            assert set(episode.agent_ids) == set(env.possible_agents[:number])
