"""Launchers: who may depart when, on maps drawn by hand and in episodes; and their windows."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("flatland")

from rllib_mamba.envs.flatland import PRESETS, FlatlandEnv, FlatlandSettings
from rllib_mamba.envs.flatland.baselines import shortest_path_action
from rllib_mamba.envs.flatland.launchers import make_launcher
from rllib_mamba.envs.flatland.rail_graph import RailGraph
from rllib_mamba.envs.flatland.trains import Phase, Train

EAST = 1
STRAIGHT = 0b0000_0100_0000_0001  # east to west
CROWDED = {**PRESETS["flatland_debug"], "number_of_trains": 6}
READY = 8


def lines(*starts: tuple[int, int], length: int = 40, rows: int = 30) -> tuple[RailGraph, list[Train]]:
    """Lines from west to east in every row, and ready trains at `starts`, each bound for the end of its line."""
    grid = np.full((rows, length), STRAIGHT, np.uint16)
    graph = RailGraph(grid, [(row, length - 1) for row, _ in starts])
    return graph, [Train(Phase.READY, graph.configuration(start, EAST), 0) for start in starts]


class TestOrder:
    def test_all_at_once(self) -> None:
        graph, trains = lines((0, 0), (0, 5), (3, 1))
        assert make_launcher("all_at_once", graph, trains, None).released == [True] * 3

    def test_shortest_path_first(self) -> None:
        graph, trains = lines((0, 0), (1, 20), (2, 10), (3, 30))
        launcher = make_launcher("shortest_path_first", graph, trains, 2)
        assert launcher.released == [False, True, False, True]
        launcher.update([False] * 4)
        assert launcher.released == [False, True, False, True], "the window is full"
        launcher.update([False, False, False, True])
        assert launcher.released == [False, True, True, True]
        launcher.update([False, True, True, True])
        assert launcher.released == [True] * 4

    def test_network_load(self) -> None:
        graph, trains = lines((0, 0), (0, 10), (1, 0), (0, 30), (1, 30))
        launcher = make_launcher("network_load", graph, trains, 2)
        assert launcher.released == [True, False, True, False, False], "the second line is empty, the first is not"
        launcher.update([True, False, False, False, False])
        assert launcher.released == [True, True, True, False, False], "nothing is left on the first line"
        launcher.update([True, False, True, False, False])
        assert launcher.released == [True, True, True, False, True], "the second line again, though it is last"

    def test_by_city(self) -> None:
        graph, trains = lines((0, 0), (20, 0), (3, 9), (1, 2), (12, 30), (20, 9))
        launcher = make_launcher("by_city", graph, trains, None)
        assert launcher.released == [True, False, True, True, False, False]
        launcher.update([False] * 6)
        assert launcher.released == [True, False, True, True, False, False], "three are under way"
        launcher.update([True, False, False, False, False, False])
        assert launcher.released == [True, True, True, True, False, True]
        launcher.update([True, False, False, False, False, False])
        assert launcher.released == [True] * 6, "four may be under way once two cities were released"


def start(launcher: str, seed: int, **options: Any) -> tuple[FlatlandEnv, dict[str, np.ndarray]]:
    env = FlatlandEnv({**CROWDED, "launcher": launcher, **options})
    return env, env.reset(seed=seed)[0]


class TestEpisodes:
    @pytest.mark.parametrize("launcher", ["shortest_path_first", "network_load"])
    def test_never_more_under_way_than_the_window_holds_and_all_get_their_turn(self, launcher: str) -> None:
        env, observations = start(launcher, seed=3, window=2)
        departed: set[str] = set()
        ended: set[str] = set()
        before = {agent: observation[:2] for agent, observation in observations.items()}
        over = False
        while not over:
            actions = {agent: shortest_path_action(observation) for agent, observation in observations.items()}
            may_depart = {agent for agent, observation in observations.items() if observation[READY] > 0}
            observations, _, terminateds, truncateds, _ = env.step(actions)
            moved = {agent for agent, row in observations.items() if not np.array_equal(row[:2], before[agent])}
            departed |= moved
            assert moved <= may_depart | departed
            assert len((departed | may_depart) - ended) <= 2
            before = {agent: observation[:2] for agent, observation in observations.items()}
            ended |= {agent for agent in observations if terminateds[agent]}
            observations = {agent: row for agent, row in observations.items() if not terminateds[agent]}
            over = terminateds["__all__"] or truncateds["__all__"]
        assert departed == set(env.possible_agents)

    def test_the_shortest_ways_go_first(self) -> None:
        _, observations = start("shortest_path_first", seed=0, window=3)
        distances = {agent: observation[5] for agent, observation in observations.items()}
        ready = {agent for agent, observation in observations.items() if observation[READY] > 0}
        assert ready == set(sorted(distances, key=lambda agent: distances[agent])[:3])

    def test_trains_that_wait_for_their_turn_do_nothing_whatever_their_action(self) -> None:
        env, observations = start("shortest_path_first", seed=1, window=1, action_masks=True, malfunction_rate=0.0)
        waiting = {agent for agent, observation in observations.items() if observation[READY] < 0}
        assert len(waiting) == 5
        for action in (0, 1, 2, 0):
            actions = {agent: action if agent in waiting else 2 for agent in observations}
            following, _, _, _, infos = env.step(actions)
            for agent in waiting:
                assert infos[agent]["action_mask"].tolist() == [1, 0, 0]
                np.testing.assert_array_equal(following[agent], observations[agent])

    def test_by_city_all_get_their_turn(self) -> None:
        env, observations = start("by_city", seed=2, number_of_cities=3, width=30, height=30, malfunction_rate=0.0)
        assert 0 < sum(observation[READY] > 0 for observation in observations.values()) < 6
        over = False
        while not over:
            actions = {agent: shortest_path_action(observation) for agent, observation in observations.items()}
            observations, _, terminateds, truncateds, infos = env.step(actions)
            observations = {agent: row for agent, row in observations.items() if not terminateds[agent]}
            over = terminateds["__all__"] or truncateds["__all__"]
        metrics = infos["__common__"]["episode_metrics"]
        assert metrics["arrived"] + metrics["deadlocked"] == 1.0

    def test_a_launcher_changes_nothing_but_the_departures(self) -> None:
        _, at_once = start("all_at_once", seed=4)
        _, in_window = start("network_load", seed=4, window=1)
        for agent, observation in at_once.items():
            np.testing.assert_array_equal(np.delete(observation, READY), np.delete(in_window[agent], READY))


class TestWindow:
    @pytest.mark.parametrize(
        ("window", "size"),
        [
            (3, 3),
            ({"per_train": 0.5}, 5),
            ({"per_train": 0.25, "offset": 1}, 3),
            ({"per_map_size": 0.05}, 3),
            ({"per_map_size": 0.1, "offset": -2}, 5),
            ({"per_train": 0.01}, 1),
        ],
    )
    def test_constant_or_linear_in_trains_or_map_size(self, window: Any, size: int) -> None:
        options = {"number_of_trains": 10, "width": 30, "height": 45, "launcher": "network_load", "window": window}
        assert FlatlandSettings(**options).window_size == size
        env = FlatlandEnv({**options, "number_of_cities": 2})
        assert sum(observation[READY] > 0 for observation in env.reset(seed=0)[0].values()) == size

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"launcher": "all_at_onse"}, ValueError, "unknown launcher 'all_at_onse': did you mean 'all_at_once'"),
            ({"launcher": "network_load"}, ValueError, "'network_load' needs a window"),
            ({"window": 3}, ValueError, "'all_at_once' has no window, got 3"),
            ({"launcher": "by_city", "window": 3}, ValueError, "'by_city' has no window"),
            ({"launcher": "network_load", "window": 0}, ValueError, "window must be at least 1, got 0"),
            ({"launcher": "network_load", "window": True}, TypeError, "window must be an integer"),
            ({"launcher": "network_load", "window": 2.5}, TypeError, "window must be an integer"),
            ({"launcher": "network_load", "window": {"per_trains": 1}}, ValueError, "did you mean 'per_train'"),
            ({"launcher": "network_load", "window": {"offset": 2}}, ValueError, "window must be an integer"),
            (
                {"launcher": "network_load", "window": {"per_train": 1, "per_map_size": 1}},
                ValueError,
                "window must be an integer",
            ),
            ({"launcher": "network_load", "window": {"per_train": "all"}}, TypeError, r"window\['per_train'\]"),
        ],
    )
    def test_bad_launchers_and_windows(self, options: dict, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            FlatlandEnv(options)
