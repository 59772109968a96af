"""Deadlocks, observations and actions on small maps drawn by hand."""

import numpy as np
import pytest

pytest.importorskip("flatland")

from rllib_mamba.envs.flatland.baselines import shortest_path_action
from rllib_mamba.envs.flatland.communication import EncounterMemory
from rllib_mamba.envs.flatland.deadlocks import find_deadlocks
from rllib_mamba.envs.flatland.decisions import is_forced, rail_action
from rllib_mamba.envs.flatland.observation import OBSERVATION_SIZE, TreeObservation
from rllib_mamba.envs.flatland.rail_graph import RailGraph
from rllib_mamba.envs.flatland.trains import Phase, Train

EAST, WEST = 1, 3
STRAIGHT = 0b0000_0100_0000_0001  # east to west
SWITCH = 0b0001_0110_0000_0001  # eastwards also to the south, from the south to the west
VERTICAL = 0b1000_0000_0010_0000  # north to south


def corridor(length: int, targets: int) -> RailGraph:
    """A straight line in row 1; every train is bound for its eastern end."""
    grid = np.zeros((3, length), np.uint16)
    grid[1] = STRAIGHT
    return RailGraph(grid, [(1, length - 1)] * targets)


def fork() -> RailGraph:
    """A line in row 0 with a branch to the south at column 2; the target is at the end of the branch."""
    grid = np.zeros((4, 6), np.uint16)
    grid[0] = STRAIGHT
    grid[0, 2] = SWITCH
    grid[1:, 2] = VERTICAL
    return RailGraph(grid, [(3, 2)])


def active(graph: RailGraph, column: int, heading: int, malfunction: int = 0) -> Train:
    return Train(Phase.ACTIVE, graph.configuration((1, column), heading), malfunction)


class TestDeadlocks:
    def test_trains_face_to_face_are_deadlocked_with_those_behind(self) -> None:
        graph = corridor(10, 4)
        trains = [active(graph, 3, EAST), active(graph, 4, EAST), active(graph, 5, WEST), active(graph, 8, WEST)]
        assert find_deadlocks(graph, trains, [False] * 4) == [True, True, True, False]

    def test_a_broken_train_that_has_room_ahead_is_not(self) -> None:
        graph = corridor(10, 2)
        trains = [active(graph, 3, EAST), active(graph, 4, EAST, malfunction=9)]
        assert find_deadlocks(graph, trains, [False] * 2) == [False, False]

    def test_trains_off_the_map_block_no_one(self) -> None:
        graph = corridor(10, 2)
        waiting = Train(Phase.READY, graph.configuration((1, 4), WEST), 0)
        assert find_deadlocks(graph, [active(graph, 3, EAST), waiting], [False] * 2) == [False, False]

    def test_a_known_deadlock_stays_and_blocks(self) -> None:
        graph = corridor(10, 2)
        trains = [active(graph, 3, EAST), active(graph, 4, EAST)]
        assert find_deadlocks(graph, trains, [False, True]) == [True, True]


class TestObservation:
    def test_a_train_ahead(self) -> None:
        graph = corridor(12, 2)
        trains = [active(graph, 1, EAST), active(graph, 4, WEST)]
        observations, met = TreeObservation(graph, [0.25, 0.75]).observe(trains, [False, False])
        assert observations.shape == (2, OBSERVATION_SIZE)
        root, branch = observations[0, :9], observations[0, 9:23]
        np.testing.assert_allclose(root, [0.01, 0.01, 0.25, -1, 1, 0.1 - 10, -1, -1, -1], atol=1e-6)
        expected = [1, 0.03 - 10, 0.1 - 10, 0, -0.1, 0, -1, -1, 1, -1, 1, -1, -1, -1]
        np.testing.assert_allclose(branch, expected, atol=1e-6)
        assert met[0][0] == 1
        assert set(met[0][1:]) == {-1}

    def test_an_arrived_train_sees_nothing(self) -> None:
        graph = corridor(12, 2)
        trains = [Train(Phase.ARRIVED, graph.targets[0] * 4, 0), active(graph, 4, EAST)]
        observations, met = TreeObservation(graph, [0.25, 0.75]).observe(trains, [False, False])
        np.testing.assert_allclose(observations[0, :3], [0.01, 0.11, 0.25], atol=1e-6)
        assert not observations[0, 9:].any()
        assert set(met[0]) == {-1}


class TestDecisions:
    def test_a_train_decides_on_and_right_before_a_switch(self) -> None:
        graph = fork()
        deciding = [
            column
            for column in range(5)
            if not is_forced(Train(Phase.ACTIVE, graph.configuration((0, column), EAST), 0), False, graph.decisions)
        ]
        assert deciding == [1, 2]

    def test_a_broken_train_decides_nothing(self) -> None:
        graph = fork()
        train = Train(Phase.ACTIVE, graph.configuration((0, 2), EAST), 5)
        assert is_forced(train, False, graph.decisions)
        assert not is_forced(train, True, graph.decisions)

    def test_actions_at_a_switch(self) -> None:
        graph = fork()
        train = Train(Phase.ACTIVE, graph.configuration((0, 2), EAST), 0)
        assert [rail_action(graph, train, action) for action in range(3)] == [2, 3, 4]

    def test_the_shortest_path_takes_the_branch_to_the_target(self) -> None:
        graph = fork()
        train = Train(Phase.ACTIVE, graph.configuration((0, 2), EAST), 0)
        observations, _ = TreeObservation(graph, [0.5]).observe([train], [False])
        assert shortest_path_action(observations[0]) == 1


class TestEncounterMemory:
    def test_forced_trains_hear_a_step_late_and_deadlocked_ones_the_same_for_ever(self) -> None:
        memory = EncounterMemory(3, 3)
        no_one = [False] * 3
        meets = {other: (other,) + (-1,) * 13 for other in range(-1, 3)}
        memory.mask([meets[1], meets[0], meets[0]], no_one, no_one)
        mask = memory.mask([meets[2], meets[2], meets[1]], [True, False, False], [False, False, True])
        np.testing.assert_array_equal(mask, [[1, 1, 0], [0, 1, 1], [1, 0, 1]])
        mask = memory.mask([meets[-1], meets[-1], meets[1]], [True, False, False], [False, False, True])
        np.testing.assert_array_equal(mask, [[1, 0, 1], [0, 1, 0], [1, 0, 1]])
