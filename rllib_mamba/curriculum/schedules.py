"""Which task comes next, as probabilities that follow from what has been played so far."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np

from rllib_mamba.curriculum.progress import Progress

Preference = Literal["low", "high"]


class Schedule(Protocol):
    """Chooses tasks."""

    def probabilities(self, progress: Progress) -> np.ndarray:
        """The probability of every task for the next episode, (tasks,) float64."""


@dataclass(frozen=True)
class InOrder:
    """One task after the other, each for so many episodes.

    Raises:
        ValueError: a number of episodes is not a positive integer.
    """

    episodes: tuple[int, ...]
    """Episodes of each task."""
    cycle: bool = False
    """After the last task: begin again with the first one. False: stay with the last one."""

    def __post_init__(self) -> None:
        for number in self.episodes:
            if not isinstance(number, int) or isinstance(number, bool) or number < 1:
                raise ValueError(f"episodes must be positive integers, got {number!r}")
        if not isinstance(self.cycle, bool):
            raise ValueError(f"cycle must be true or false, got {self.cycle!r}")

    def probabilities(self, progress: Progress) -> np.ndarray:
        """See `Schedule`."""
        played = list(zip(progress.episodes, self.episodes, strict=True))
        rounds = min(done // wanted for done, wanted in played) if self.cycle else 0
        unfinished = (task for task, (done, wanted) in enumerate(played) if done < (rounds + 1) * wanted)
        probabilities = np.zeros(len(played))
        probabilities[next(unfinished, len(played) - 1)] = 1.0
        return probabilities


@dataclass(frozen=True)
class Weighted:
    """Every episode's task is drawn with probabilities in proportion to fixed weights.

    Raises:
        ValueError: a weight is negative or no finite number, or all are 0.
    """

    weights: tuple[float, ...]
    """The weight of each task."""

    def __post_init__(self) -> None:
        for weight in self.weights:
            if not _is_number(weight) or weight < 0:
                raise ValueError(f"weights must be finite numbers of at least 0, got {weight!r}")
        if not any(self.weights):
            raise ValueError("weights must not all be 0")

    def probabilities(self, progress: Progress) -> np.ndarray:
        """See `Schedule`."""
        weights = np.array(self.weights, np.float64)
        return weights / weights.sum()


@dataclass(frozen=True)
class Prioritized:
    """Tasks that need more learning are drawn more often: by the rank of their score, and by how long they were left.

    Prioritized Level Replay (Jiang, Grefenstette and Rocktäschel, ICML 2021, arXiv 2010.03934, section 3), with the
    score of finished episodes in place of the size of the learner's errors:

        P(i) = (1 - staleness) * P_rank(i) + staleness * P_stale(i)
        P_rank(i)  proportional to  rank(i) ** (-1 / temperature)      rank 1: the task that needs it most
        P_stale(i) proportional to  c - c(i)                           c: episodes finished; c(i): when i's last one was

    Tasks that were never finished go first, each with the same probability.

    Raises:
        ValueError: an option is out of its range.
    """

    prefer: Preference = "low"
    """The scores that need more learning: the "low" ones, as of `won` or `arrived`, or the "high" ones, as of
    `deadlocked`."""
    temperature: float = 1.0
    """Above 0; the lower, the more often the first in rank (beta in the paper, 0.1 there, for hundreds of levels)."""
    staleness: float = 0.1
    """Share of the draws that go by how long ago a task was played, in [0, 1] (rho in the paper)."""

    def __post_init__(self) -> None:
        if self.prefer not in get_args(Preference):
            raise ValueError(f"prefer must be 'low' or 'high', got {self.prefer!r}")
        if not _is_number(self.temperature) or self.temperature <= 0:
            raise ValueError(f"temperature must be a number above 0, got {self.temperature!r}")
        if not _is_number(self.staleness) or not 0 <= self.staleness <= 1:
            raise ValueError(f"staleness must be a number from 0 to 1, got {self.staleness!r}")

    def probabilities(self, progress: Progress) -> np.ndarray:
        """See `Schedule`."""
        unplayed = np.array([score is None for score in progress.scores])
        if unplayed.any():
            return unplayed / unplayed.sum()
        scores = np.array(progress.scores, np.float64)
        order = np.argsort(scores if self.prefer == "low" else -scores, kind="stable")
        ranks = np.empty(len(scores))
        ranks[order] = np.arange(1, len(scores) + 1)
        by_rank = ranks ** (-1 / self.temperature)
        ages = max(progress.last_episodes) - np.array(progress.last_episodes, np.float64)
        if not ages.any():
            return by_rank / by_rank.sum()
        return (1 - self.staleness) * by_rank / by_rank.sum() + self.staleness * ages / ages.sum()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
