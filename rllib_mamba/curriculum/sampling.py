"""What an env runner does for a curriculum: gives every new episode a task, and remembers how episodes ended."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rllib_mamba.curriculum.curriculum import Curriculum
from rllib_mamba.curriculum.progress import Progress
from rllib_mamba.curriculum.tasks import set_task


@dataclass(frozen=True)
class Report:
    """What an env runner tells the algorithm about its episodes since it was last asked."""

    worker_index: int
    """The env runner."""
    finished: list[tuple[int, float]]
    """Task and score of the finished ones, in their order."""
    unfinished: list[int]
    """Tasks of those under way."""
    problem: str | None
    """Why one of them has no score."""


class TaskSampler:
    """Chooses the tasks of an env runner's episodes.

    It goes by the progress that all env runners had at the end of the last iteration, and by its own episodes since.
    Its random numbers follow from the seed, the env runner and the iteration.

    Args:
        curriculum: The curriculum.
        progress: See `update`.
        seed: The run's seed, or None.
        worker_index: Which env runner it is.
    """

    def __init__(self, curriculum: Curriculum, progress: Progress, seed: int | None, worker_index: int) -> None:
        self.paused = False
        self._curriculum = curriculum
        self._seed = seed
        self._worker_index = worker_index
        self._waiting: dict[int, Any] = {}
        self._running: dict[int, int] = {}
        self._finished: list[tuple[int, float]] = []
        self._problem: str | None = None
        self.update(progress)

    def restart(self, progress: Progress) -> None:
        """Goes on from a checkpoint: episodes that are under way do not count."""
        self._running, self._finished, self._problem = {}, [], None
        self.update(progress)

    def update(self, progress: Progress) -> None:
        """Goes on with the progress of all env runners; episodes that have not begun are given a task again."""
        self._progress = progress.copy()
        entropy = None if self._seed is None else [self._seed, self._worker_index, progress.iterations]
        self._random = np.random.default_rng(entropy)
        for env_index in self._waiting:
            self._running.pop(env_index, None)
        # As after a restart from a checkpoint, when all sub-environments begin in their order.
        for env_index, environment in sorted(self._waiting.items()):
            self.choose_task(environment, env_index)

    def choose_task(self, environment: Any, env_index: int) -> None:
        """Sets the task of the episode that sub-environment `env_index` is about to begin."""
        self._waiting[env_index] = environment
        self._running.pop(env_index, None)
        if self.paused:
            set_task(environment, {})
            return
        known = self._progress.with_unfinished(self._running.values())
        probabilities = self._curriculum.schedule.probabilities(known)
        task = int(self._random.choice(len(probabilities), p=probabilities))
        self._running[env_index] = task
        set_task(environment, self._curriculum.tasks[self._curriculum.names[task]])

    def begin_episode(self, env_index: int) -> None:
        """Notes that the episode of sub-environment `env_index` has begun."""
        self._waiting.pop(env_index, None)

    def end_episode(self, env_index: int, metrics: Mapping[str, float]) -> None:
        """Counts the finished episode of sub-environment `env_index`, unless its task is not the curriculum's."""
        task = self._running.pop(env_index, None)
        if task is None or self.paused:
            return
        score = metrics.get(self._curriculum.metric)
        if score is None or not math.isfinite(score):
            known = ", ".join(repr(name) for name in metrics)
            self._problem = (
                f"The curriculum's metric is {self._curriculum.metric!r}, and an episode of the task "
                f"{self._curriculum.names[task]!r} ended with "
                + (f"the value {score}." if score is not None else f"no such metric, but with {known}.")
            )
            return
        self._finished.append((task, float(score)))
        self._progress.record(task, score, self._curriculum.smoothing)

    def report(self) -> Report:
        """What happened since the last call."""
        unfinished = [task for env_index, task in self._running.items() if env_index not in self._waiting]
        report = Report(self._worker_index, self._finished, unfinished, self._problem)
        self._finished, self._problem = [], None
        return report
