"""What is known of the episodes played so far."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, Self


@dataclasses.dataclass
class Progress:
    """Finished episodes and scores, by task; all that a curriculum has to remember."""

    episodes: list[int]
    """Finished episodes of each task."""
    scores: list[float | None]
    """Each task's score, an average over its last episodes; None before the first."""
    last_episodes: list[int]
    """How many episodes of all tasks had been finished when the task's last one was; 0 before the first."""
    iterations: int = 0
    """Training iterations that are over."""

    @classmethod
    def beginning(cls, num_tasks: int) -> Self:
        """Nothing has been played."""
        return cls([0] * num_tasks, [None] * num_tasks, [0] * num_tasks)

    @property
    def total_episodes(self) -> int:
        """Finished episodes of all tasks together."""
        return sum(self.episodes)

    def record(self, task: int, score: float, smoothing: float) -> None:
        """Counts a finished episode.

        Args:
            task: The task's index.
            score: The episode's score.
            smoothing: Weight of the newest episode in the task's score, in (0, 1]. The first 1 / smoothing episodes
                have equal weights, so that the first one does not count for more than the others.
        """
        self.episodes[task] += 1
        self.last_episodes[task] = self.total_episodes
        before = self.scores[task] or 0.0
        self.scores[task] = before + max(smoothing, 1 / self.episodes[task]) * (score - before)

    def with_unfinished(self, tasks: Iterable[int]) -> Self:
        """The same, with episodes of the given tasks counted that are not finished yet."""
        episodes = list(self.episodes)
        for task in tasks:
            episodes[task] += 1
        return dataclasses.replace(self, episodes=episodes)

    def copy(self) -> Self:
        """A copy that may be changed."""
        return type(self)(**self.get_state())

    def get_state(self) -> dict[str, Any]:
        """Plain data, for a checkpoint."""
        return dataclasses.asdict(self)
