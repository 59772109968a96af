"""What trains observe, by name, as one vector each."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from rllib_mamba.envs.flatland.observation import BRANCH_FEATURES, ROOT_FEATURES
from rllib_mamba.envs.flatland.rail_graph import RailGraph
from rllib_mamba.envs.flatland.scaling import scaled
from rllib_mamba.envs.flatland.trains import Phase, Train

if TYPE_CHECKING:
    from flatland.envs.rail_env import RailEnv
    from flatland.ml.observations.gym_observation_builder import GymObservationBuilder

FEATURES = "features"
SHORTEST_PATH = "shortest_path"
FLATLAND_TREE = "flatland_tree"
FLATLAND_GLOBAL = "flatland_global"
OBSERVATIONS = (FEATURES, SHORTEST_PATH, FLATLAND_TREE, FLATLAND_GLOBAL)
"""Names of all observations."""

_SHORTEST_PATH_SIZE = 3
_FLATLAND_NODE_FEATURES = 12
_FLATLAND_BRANCHES = 4
_FLATLAND_CELL_FEATURES = 16 + 5 + 2
_FLATLAND_PREDICTED_STEPS = 50


def observation_size(name: str, tree_depth: int, width: int, height: int) -> int:
    """Numbers in the observation `name` of a train on a map of this size."""
    if name == SHORTEST_PATH:
        return _SHORTEST_PATH_SIZE
    if name == FLATLAND_TREE:
        return _FLATLAND_NODE_FEATURES * sum(_FLATLAND_BRANCHES**depth for depth in range(tree_depth + 1))
    if name == FLATLAND_GLOBAL:
        return width * height * _FLATLAND_CELL_FEATURES
    return ROOT_FEATURES + BRANCH_FEATURES * (2 ** (tree_depth + 1) - 2)


class Observer(Protocol):
    """Turns the state of all trains into their observations."""

    def observe(self, features: np.ndarray, trains: Sequence[Train]) -> np.ndarray:
        """Observations (n, O) float32, given the 205 features (n, 205) of the n trains."""


class Features:
    """The features of a tree that may be shallower than three levels, on the paper's scales or on scales near one."""

    def __init__(self, size: int, on_scales_near_one: bool) -> None:
        self._size = size
        self._scaled = on_scales_near_one

    def observe(self, features: np.ndarray, trains: Sequence[Train]) -> np.ndarray:
        """As `Observer`."""
        if self._scaled:
            features = scaled(features)
        # Branches come breadth first: a shallower tree is the beginning of a deeper one.
        return np.ascontiguousarray(features[:, : self._size])


class ShortestPath:
    """Three features: the distance to the target as a fraction of the step limit, and which branch is the shorter way.

    The distance is 1 where the target is out of reach; the other two are (1, 0) for the first branch and (0, 1) for the
    second one. All are 0 once the train has arrived.
    """

    def __init__(self, graph: RailGraph, episode_limit: int) -> None:
        self._graph = graph
        self._limit = episode_limit

    def observe(self, features: np.ndarray, trains: Sequence[Train]) -> np.ndarray:
        """As `Observer`."""
        rows = [self._row(train, target) for train, target in zip(trains, self._graph.targets, strict=True)]
        return np.array(rows, np.float32)

    def _row(self, train: Train, target: int) -> tuple[float, float, float]:
        if train.phase == Phase.ARRIVED:
            return (0.0, 0.0, 0.0)
        distances = self._graph.distances(target)
        distance = distances[train.configuration]
        branches = self._graph.successors[train.configuration]
        second = len(branches) > 1 and distances[branches[1]] < distances[branches[0]]
        return (1.0 if math.isinf(distance) else distance / self._limit, float(not second), float(second))


class FlatlandBuilder:
    """What one of flatland-rl's own gym observation builders gives."""

    def __init__(self, builder: "GymObservationBuilder", rail_env: "RailEnv") -> None:
        self._builder = builder
        builder.reset(rail_env)

    def observe(self, features: np.ndarray, trains: Sequence[Train]) -> np.ndarray:
        """As `Observer`."""
        observations = self._builder.get_many(list(range(len(trains))))
        return np.stack([observations[handle] for handle in range(len(trains))]).astype(np.float32)


def make_observer(
    name: str, tree_depth: int, on_scales_near_one: bool, rail_env: "RailEnv", graph: RailGraph
) -> Observer:
    """The observer `name` for the episode that `rail_env` has just begun on the map of `graph`."""
    if name == SHORTEST_PATH:
        return ShortestPath(graph, rail_env._max_episode_steps)
    if name == FLATLAND_TREE:
        return FlatlandBuilder(_flatland_tree(tree_depth), rail_env)
    if name == FLATLAND_GLOBAL:
        return FlatlandBuilder(_flatland_global(), rail_env)
    return Features(observation_size(name, tree_depth, graph.width, graph.height), on_scales_near_one)


def _flatland_tree(tree_depth: int) -> "GymObservationBuilder":
    from flatland.envs.predictions import ShortestPathPredictorForRailEnv
    from flatland.ml.observations.flatten_tree_observation_for_rail_env import FlattenedNormalizedTreeObsForRailEnv

    # Made as flatland-rl registers it for its own examples with RLlib.
    predictor = ShortestPathPredictorForRailEnv(max_depth=_FLATLAND_PREDICTED_STEPS)
    return FlattenedNormalizedTreeObsForRailEnv(max_depth=tree_depth, predictor=predictor)


def _flatland_global() -> "GymObservationBuilder":
    from flatland.ml.observations.gym_observation_builder import GlobalObsForRailEnvGym

    return GlobalObsForRailEnvGym()
