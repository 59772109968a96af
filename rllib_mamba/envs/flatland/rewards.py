"""Rewards: arriving, getting nearer to the target, and running into a deadlock."""

import math
from collections.abc import Sequence

from rllib_mamba.envs.flatland.rail_graph import RailGraph
from rllib_mamba.envs.flatland.trains import Phase, Train

#: Distance counted in the paper for a target that cannot be reached any more.
UNREACHABLE_DISTANCE = 1000.0


class RewardShaper:
    """Rewards of every train, step by step.

    A train gets `finish` once when it arrives, `deadlock` once when it is deadlocked, and `progress` for every cell
    that it comes closer to its target (negative when it moves away). A target out of reach is `unreachable` cells away.
    """

    def __init__(
        self, finish: float, progress: float, deadlock: float, unreachable: float = UNREACHABLE_DISTANCE
    ) -> None:
        self._finish = finish
        self._progress = progress
        self._deadlock = deadlock
        self._unreachable = unreachable
        self.distances: list[float] = []
        self.finished: list[bool] = []
        self.punished: list[bool] = []

    def start(self, graph: RailGraph, trains: Sequence[Train]) -> None:
        """Begin an episode in which the trains stand as given."""
        self.distances = [
            self._distance(graph, train, target) for train, target in zip(trains, graph.targets, strict=True)
        ]
        self.finished = [False] * len(trains)
        self.punished = [False] * len(trains)

    def rewards(self, graph: RailGraph, trains: Sequence[Train], deadlocked: Sequence[bool]) -> list[float]:
        """Reward of each train for the step that led to the given state."""
        rewards = []
        for handle, (train, target) in enumerate(zip(trains, graph.targets, strict=True)):
            distance = self._distance(graph, train, target)
            reward = self._progress * (self.distances[handle] - distance)
            self.distances[handle] = distance
            if train.phase == Phase.ARRIVED and not self.finished[handle]:
                self.finished[handle] = True
                reward += self._finish
            if deadlocked[handle] and not self.punished[handle]:
                self.punished[handle] = True
                reward += self._deadlock
            rewards.append(reward)
        return rewards

    def _distance(self, graph: RailGraph, train: Train, target: int) -> float:
        if train.phase == Phase.ARRIVED:
            return 0.0
        distance = graph.distances(target)[train.configuration]
        return self._unreachable if math.isinf(distance) else float(distance)
