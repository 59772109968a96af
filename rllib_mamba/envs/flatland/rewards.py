"""Rewards by name: what each of them counts, and their weighted sum."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from rllib_mamba.envs.flatland.checks import check_names, is_number
from rllib_mamba.envs.flatland.rail_graph import HEADINGS, RailGraph
from rllib_mamba.envs.flatland.trains import Phase, Train

PAPER_REWARDS = {"finish": 10.0, "progress": 0.01, "deadlock": -5.0}

UNREACHABLE_DISTANCE = 1000.0
"""Distance counted in the paper for a target that cannot be reached any more."""


class Outcome(NamedTuple):
    """What rewards know of a step: the state that it led to, and who stopped."""

    graph: RailGraph
    trains: Sequence[Train]
    deadlocked: Sequence[bool]
    stopped: Sequence[bool]
    """Trains on the map that chose to stop."""
    episode_limit: int
    """Steps after which the episode is cut."""


class Reward(ABC):
    """Something that is counted for every train at every step.

    What is counted for trains that had ended before the step means nothing: they take no further part.
    """

    def start(self, graph: RailGraph, trains: Sequence[Train]) -> None:  # noqa: B027 (most remember nothing)
        """Begin an episode in which the trains stand as given."""

    @abstractmethod
    def amounts(self, outcome: Outcome) -> list[float]:
        """What each train has earned in a step, before it is weighted."""


class _Once(Reward):
    """1 when something becomes true of a train."""

    def start(self, graph: RailGraph, trains: Sequence[Train]) -> None:
        """Nothing is true yet."""
        self.before = [False] * len(trains)

    def amounts(self, outcome: Outcome) -> list[float]:
        """1 where it has become true in this step."""
        before, self.before = self.before, self._now(outcome)
        if before == self.before:
            return [0.0] * len(before)
        return [float(is_true and not was_true) for is_true, was_true in zip(self.before, before, strict=True)]

    @abstractmethod
    def _now(self, outcome: Outcome) -> list[bool]:
        """Of whom it is true."""


class Finish(_Once):
    """1 when the train arrives."""

    def _now(self, outcome: Outcome) -> list[bool]:
        return [train.phase == Phase.ARRIVED for train in outcome.trains]


class Deadlock(_Once):
    """1 when the train is deadlocked."""

    def _now(self, outcome: Outcome) -> list[bool]:
        return list(outcome.deadlocked)


class Progress(Reward):
    """The cells by which the train has come closer to its target, negative when it has moved away.

    Args:
        unreachable_distance: cells counted for a target out of reach.
    """

    def __init__(self, unreachable_distance: float) -> None:
        self._unreachable_distance = unreachable_distance

    def start(self, graph: RailGraph, trains: Sequence[Train]) -> None:
        """Remember the distances."""
        self.distances = self._measure(graph, trains)

    def amounts(self, outcome: Outcome) -> list[float]:
        """Cells gained since the last step."""
        before, self.distances = self.distances, self._measure(outcome.graph, outcome.trains)
        return [old - new for old, new in zip(before, self.distances, strict=True)]

    def _measure(self, graph: RailGraph, trains: Sequence[Train]) -> list[float]:
        return [self._distance(graph, train, target) for train, target in zip(trains, graph.targets, strict=True)]

    def _distance(self, graph: RailGraph, train: Train, target: int) -> float:
        if train.phase == Phase.ARRIVED:
            return 0.0
        distance = graph.distances(target)[train.configuration]
        return self._unreachable_distance if math.isinf(distance) else float(distance)


class EveryStep(Reward):
    """1 at every step after which the train goes on: it has not arrived and is not deadlocked."""

    def amounts(self, outcome: Outcome) -> list[float]:
        """1 for every train that goes on."""
        return [
            float(train.phase != Phase.ARRIVED and not deadlocked)
            for train, deadlocked in zip(outcome.trains, outcome.deadlocked, strict=True)
        ]


class NoStop(Reward):
    """1 when the train stops of its own choice, on a switch or else elsewhere; a negative weight keeps it going."""

    def __init__(self, on_switch: bool) -> None:
        self._on_switch = on_switch

    def amounts(self, outcome: Outcome) -> list[float]:
        """1 for every train that stops in such a place."""
        return [
            float(stopped and (train.configuration // HEADINGS in outcome.graph.switch_cells) == self._on_switch)
            for train, stopped in zip(outcome.trains, outcome.stopped, strict=True)
        ]


def _all_arrived(outcome: Outcome) -> bool:
    return all(train.phase == Phase.ARRIVED for train in outcome.trains)


class Sparse(Reward):
    """1 at the step in which the last of all trains arrives."""

    def amounts(self, outcome: Outcome) -> list[float]:
        """1 for everybody, or nothing."""
        return [float(_all_arrived(outcome))] * len(outcome.trains)


class Simple(Reward):
    """-1 at every step, but the episode's step limit at the one in which the last of all trains arrives."""

    def amounts(self, outcome: Outcome) -> list[float]:
        """The same for everybody."""
        return [float(outcome.episode_limit) if _all_arrived(outcome) else -1.0] * len(outcome.trains)


class Zero(Reward):
    """Nothing."""

    def amounts(self, outcome: Outcome) -> list[float]:
        """Zeros."""
        return [0.0] * len(outcome.trains)


REWARDS: dict[str, Callable[[float], Reward]] = {
    "finish": lambda _: Finish(),
    "progress": Progress,
    "deadlock": lambda _: Deadlock(),
    "every_step": lambda _: EveryStep(),
    "no_stop_on_switch": lambda _: NoStop(on_switch=True),
    "no_stop_elsewhere": lambda _: NoStop(on_switch=False),
    "sparse": lambda _: Sparse(),
    "simple": lambda _: Simple(),
    "zero": lambda _: Zero(),
}
"""Rewards by name, made with the distance counted for targets out of reach."""


def check_rewards(weights: object) -> None:
    """Refuse what is not a mapping from names of rewards to weights.

    Raises:
        ValueError: an unknown name, or none at all.
        TypeError: not a mapping, or a weight that is not a finite number.
    """
    if not isinstance(weights, Mapping):
        raise TypeError(f'rewards must map names to weights, as in {{"finish": 10.0}}, got {weights!r}')
    check_names(weights, list(REWARDS), "reward")
    if not weights:
        raise ValueError('rewards must name at least one reward; {"zero": 1.0} is for none')
    for name, weight in weights.items():
        if not is_number(weight):
            raise TypeError(f"rewards[{name!r}] must be a finite number, got {weight!r}")


class RewardShaper:
    """The weighted sum of rewards, train by train and step by step.

    Args:
        weights: name of a reward -> its weight.
        unreachable_distance: cells counted for a target that cannot be reached any more.
    """

    def __init__(self, weights: Mapping[str, float], unreachable_distance: float = UNREACHABLE_DISTANCE) -> None:
        self.parts = {name: REWARDS[name](unreachable_distance) for name in weights}
        self._weights = dict(weights)

    def start(self, graph: RailGraph, trains: Sequence[Train]) -> None:
        """Begin an episode in which the trains stand as given."""
        for reward in self.parts.values():
            reward.start(graph, trains)

    def rewards(self, outcome: Outcome) -> list[float]:
        """Reward of each train that takes part in a step, in the order of the trains."""
        totals = [0.0] * len(outcome.trains)
        for name, reward in self.parts.items():
            weight = self._weights[name]
            amounts = reward.amounts(outcome)
            totals = [total + weight * amount for total, amount in zip(totals, amounts, strict=True)]
        return totals
