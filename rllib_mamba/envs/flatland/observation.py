"""The 205 features of a train: nine of its own and fourteen for each branch of a tree of depth three.

The tree holds the 2 + 4 + 8 next branches, breadth first; at every node the options come in the order left, forward,
right, back, and missing ones are zeros. Distances enter as d / 100 - 10 (unreachable: 0) and truths as +1 / -1.
Layout and quirks follow the observation used in "Scalable Multi-Agent Model-Based Reinforcement Learning"
(arXiv 2205.15023).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rllib_mamba.envs.flatland.rail_graph import HEADINGS, Branch, RailGraph
from rllib_mamba.envs.flatland.trains import Phase, Train

ROOT_FEATURES = 9
BRANCH_FEATURES = 14
BRANCHES = 14
OBSERVATION_SIZE = ROOT_FEATURES + BRANCHES * BRANCH_FEATURES

NOBODY = -1
_NO_ONE_SEEN = (NOBODY,) * BRANCHES
_BEYOND_TARGET = -1.0


class _Tree(NamedTuple):
    """All that is fixed about the tree of one configuration and target: the other trains are filled in later."""

    features: np.ndarray
    """(196,) float32, as if the rails ahead were empty."""
    branches: tuple[Branch | None, ...]
    cells: frozenset[int]
    near_decision: bool


class _Traffic(NamedTuple):
    """What is seen on one branch."""

    features: tuple[float, ...]
    """The branch features 6 to 13."""
    first: int
    """Handle of the first train that is not deadlocked."""
    distance: float
    """Distance of the nearest train, deadlocked or not."""
    deadlock: bool


class TreeObservation:
    """Observations of all trains on one map.

    `tags` (n) are random numbers in [0, 1) by which trains can be told apart.
    """

    def __init__(self, graph: RailGraph, tags: Sequence[float]) -> None:
        self._graph = graph
        self._tags = tags
        self._trees: dict[tuple[int, int], _Tree] = {}

    def observe(self, trains: Sequence[Train], deadlocked: Sequence[bool]) -> tuple[np.ndarray, list[tuple[int, ...]]]:
        """Observations (n, 205) float32, and for each train the trains it met on its 14 branches (-1: none)."""
        observations = np.zeros((len(trains), OBSERVATION_SIZE), np.float32)
        met: list[tuple[int, ...]] = []
        holders = {
            train.configuration // HEADINGS: handle
            for handle, train in enumerate(trains)
            if train.phase == Phase.ACTIVE
        }
        occupied = set(holders)
        for handle, train in enumerate(trains):
            row = observations[handle]
            if train.phase == Phase.ARRIVED:
                row[:ROOT_FEATURES] = self._root(handle, train, deadlocked[handle], False)
                met.append(_NO_ONE_SEEN)
                continue
            tree = self._tree(train.configuration, self._graph.targets[handle])
            row[:ROOT_FEATURES] = self._root(handle, train, deadlocked[handle], tree.near_decision)
            row[ROOT_FEATURES:] = tree.features
            if occupied.isdisjoint(tree.cells):
                met.append(_NO_ONE_SEEN)
            else:
                met.append(self._fill_in_traffic(row, handle, tree, trains, holders, deadlocked))
        return observations, met

    def _root(self, handle: int, train: Train, deadlocked: bool, near_decision: bool) -> tuple[float, ...]:
        row, column = self._graph.position(train.configuration)
        distance = math.inf
        if train.phase != Phase.ARRIVED:
            distance = self._graph.distances(self._graph.targets[handle])[train.configuration]
        return (
            row / 100,
            column / 100,
            self._tags[handle],
            _truth(deadlocked),
            _truth(train.malfunction == 0),
            _normalised(distance),
            -1.0,  # "on a switch" never holds in the original, and trained agents depend on that
            _truth(near_decision),
            _truth(train.phase == Phase.READY),
        )

    def _tree(self, configuration: int, target: int) -> _Tree:
        key = (configuration, target)
        tree = self._trees.get(key)
        if tree is None:
            tree = self._trees[key] = self._grow(configuration, target)
        return tree

    def _grow(self, root: int, target: int) -> _Tree:
        graph = self._graph
        distances = graph.distances(target)
        branches: list[Branch | None] = [None] * BRANCHES
        features = np.zeros((BRANCHES, BRANCH_FEATURES))
        # by node, the root at -1: where it ends, its distance to the target, and whether the target lies behind it
        nodes: dict[int, tuple[int, float, bool]] = {-1: (root, distances[root], False)}
        for parent in range(-1, 6):
            if parent not in nodes:
                continue
            end, parent_distance, beyond = nodes[parent]
            beyond = beyond or (parent >= 0 and end // HEADINGS == target)
            for slot, start in enumerate(graph.successors[end][:2]):
                index = 2 * parent + 2 + slot
                branch = branches[index] = graph.branch(start)
                distance = _BEYOND_TARGET if beyond else distances[branch.end]
                nodes[index] = (branch.end, distance, beyond)
                features[index] = _empty_branch(branch.length, distance, parent_distance, beyond)
        first, second = branches[0], branches[1]
        return _Tree(
            features.astype(np.float32).reshape(-1),
            tuple(branches),
            frozenset().union(*(branch.cells for branch in branches if branch is not None)),
            near_decision=first is not None and second is None and first.length == 1,
        )

    def _fill_in_traffic(
        self,
        row: np.ndarray,
        handle: int,
        tree: _Tree,
        trains: Sequence[Train],
        holders: dict[int, int],
        deadlocked: Sequence[bool],
    ) -> tuple[int, ...]:
        met = [NOBODY] * BRANCHES
        closed = [False] * BRANCHES
        for index, branch in enumerate(tree.branches):
            if branch is None:
                continue
            offset = ROOT_FEATURES + index * BRANCH_FEATURES
            if index >= 2 and closed[index // 2 - 1]:
                closed[index] = True
                row[offset : offset + BRANCH_FEATURES] = 0.0
            elif not branch.cells.isdisjoint(holders):
                traffic = _traffic(branch, handle, trains, holders, deadlocked)
                row[offset + 1] = _normalised(traffic.distance)
                row[offset + 6 : offset + 14] = traffic.features
                met[index] = traffic.first
                closed[index] = traffic.deadlock
        return tuple(met)


def _traffic(
    branch: Branch, own_handle: int, trains: Sequence[Train], holders: dict[int, int], deadlocked: Sequence[bool]
) -> _Traffic:
    nearest, first, first_opposite = math.inf, NOBODY, False
    same = opposite = 0
    largest, largest_is_opposite, largest_opposite = NOBODY, False, 0
    deadlock = False
    for distance, (cell, heading) in enumerate(branch.visits, start=1):
        other = holders.get(cell)
        if other is None:
            continue
        faces_us = trains[other].configuration % HEADINGS != heading
        nearest = min(nearest, distance)
        if deadlocked[other]:
            deadlock = True
        elif first == NOBODY:
            first, first_opposite = other, faces_us
        if other > largest:
            largest, largest_is_opposite = other, faces_us
        if faces_us:
            opposite += 1
            largest_opposite = max(largest_opposite, other)
        else:
            same += 1
    features = (
        _truth(same >= 1),
        _truth(same >= 2),
        _truth(opposite >= 1),
        _truth(opposite >= 2),
        _truth(largest_opposite > own_handle),
        _truth(not first_opposite),
        _truth(not largest_is_opposite),
        _truth(deadlock),
    )
    return _Traffic(features, first, nearest, deadlock)


def _empty_branch(length: int, distance: float, parent_distance: float, beyond: bool) -> tuple[float, ...]:
    parent = _normalised(parent_distance)
    return (
        -1.0 if beyond else 1.0,
        _normalised(math.inf),
        _normalised(length),
        0.0,  # distance to a switch that cannot be used: never found in the original
        _normalised(distance) - parent,
        _normalised(distance + length) - parent,
        *(-1.0, -1.0, -1.0, -1.0, -1.0, 1.0, 1.0, -1.0),
    )


def _normalised(distance: float) -> float:
    return 0.0 if math.isinf(distance) else distance / 100 - 10


def _truth(value: bool) -> float:
    return 1.0 if value else -1.0
