"""What an algorithm does for a curriculum: keeps the progress, shares it with the env runners, saves it."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from rllib_mamba.curriculum.curriculum import Curriculum
from rllib_mamba.curriculum.progress import Progress
from rllib_mamba.curriculum.sampling import Report, TaskSampler
from rllib_mamba.curriculum.tasks import check_tasks

_STATE_KEY = "curriculum"

logger = logging.getLogger(__name__)


class SharedCurriculum:
    """The curriculum of an algorithm's training env runners.

    Args:
        algorithm: An algorithm that has been set up; its evaluation env runners are left alone.
        curriculum: The curriculum.

    Raises:
        ValueError: the environment does not take the tasks, or the algorithm has a curriculum already.
    """

    def __init__(self, algorithm: Any, curriculum: Curriculum) -> None:
        self.curriculum = curriculum
        self.progress = curriculum.beginning()
        self._unfinished: list[int] = []
        self._group = algorithm.env_runner_group
        for problem in self._group.foreach_env_runner(partial(_problem_with_tasks, curriculum)):
            if problem is not None:
                raise ValueError(problem)
        if getattr(algorithm, "curriculum", None) is not None:
            raise ValueError("There are two curricula: give one to the configuration, or to a CurriculumCallback.")
        self.begin()
        algorithm.curriculum = self
        _save_with(algorithm, self)

    def begin(self, env_runners: list[int] | None = None) -> None:
        """Makes env runners (all, or remote ones by index) go on from here; their episodes until now do not count."""
        attach = partial(_attach, self.curriculum, self.progress)
        self._group.foreach_env_runner(attach, local_env_runner=env_runners is None, remote_worker_ids=env_runners)

    def pause(self, paused: bool) -> None:
        """Lets the env runners play episodes without tasks, which do not count, or go on."""
        self._group.foreach_env_runner(partial(_pause, paused))

    def end_iteration(self) -> None:
        """Counts the episodes finished in this iteration, and tells all env runners.

        Raises:
            ValueError: episodes do not have the metric that is their score.
        """
        reports: list[Report | None] = self._group.foreach_env_runner(_report)
        self._unfinished = []
        for report in sorted(filter(None, reports), key=lambda report: report.worker_index):
            if report.problem is not None:
                raise ValueError(report.problem)
            for task, score in report.finished:
                self.progress.record(task, score, self.curriculum.smoothing)
            self._unfinished += report.unfinished
        self.progress.iterations += 1
        self._group.foreach_env_runner(partial(_update, self.progress))

    def metrics(self) -> dict[str, dict[str, float]]:
        """Finished episodes, score (NaN before the first), and probability in the next iteration of every task."""
        probabilities = self.curriculum.schedule.probabilities(self.progress.with_unfinished(self._unfinished))
        return {
            name: {
                "episodes": episodes,
                "score": float("nan") if score is None else score,
                "probability": float(probability),
            }
            for name, episodes, score, probability in zip(
                self.curriculum.names, self.progress.episodes, self.progress.scores, probabilities, strict=True
            )
        }

    def get_state(self) -> dict[str, Any]:
        """Plain data, for a checkpoint."""
        return {**self._identity(), "progress": self.progress.get_state()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from what `get_state` gave; where that was of other tasks, begins with the first episode."""
        if {name: state[name] for name in self._identity()} == self._identity():
            self.progress = Progress(**state["progress"])
        else:
            logger.warning("The checkpoint is of another curriculum: this one begins with its first episode.")
            self.progress = self.curriculum.beginning()
        self.begin()

    def _identity(self) -> dict[str, Any]:
        tasks = [[name, dict(task)] for name, task in self.curriculum.tasks.items()]
        return {"tasks": tasks, "metric": self.curriculum.metric}


def _save_with(algorithm: Any, shared: SharedCurriculum) -> None:
    """Makes the curriculum a part of the algorithm's state, and so of its checkpoints.

    RLlib saves no callbacks, and calls none when `from_checkpoint` or `set_state` has restored an algorithm, so both
    methods are extended on this algorithm itself. That works with every algorithm.
    """
    get_state, set_state = algorithm.get_state, algorithm.set_state

    def get_state_with_curriculum(components: Any = None, **kwargs: Any) -> dict[str, Any]:
        state = get_state(components, **kwargs)
        return state if components is not None else {**state, _STATE_KEY: shared.get_state()}

    def set_state_with_curriculum(state: dict[str, Any]) -> None:
        set_state(state)
        if _STATE_KEY in state:
            shared.set_state(state[_STATE_KEY])

    algorithm.get_state, algorithm.set_state = get_state_with_curriculum, set_state_with_curriculum


# ---------------------------------------------------------------------- run in the env runners' processes


def sampler_of(env_runner: Any) -> TaskSampler | None:
    """What chooses the tasks of an env runner; None where there is no curriculum, as in evaluation."""
    return getattr(env_runner, "task_sampler", None)


def _problem_with_tasks(curriculum: Curriculum, env_runner: Any) -> str | None:
    try:
        for environment in env_runner.env.envs[:1] if env_runner.env is not None else ():
            check_tasks(curriculum, environment)
    except ValueError as error:
        return str(error)
    return None


def _attach(curriculum: Curriculum, progress: Progress, env_runner: Any) -> None:
    sampler = sampler_of(env_runner)
    if sampler is not None:
        sampler.restart(progress)
        return
    env_runner.task_sampler = TaskSampler(curriculum, progress, env_runner.config.seed, env_runner.worker_index or 0)


def _update(progress: Progress, env_runner: Any) -> None:
    sampler = sampler_of(env_runner)
    if sampler is not None:
        sampler.update(progress)


def _pause(paused: bool, env_runner: Any) -> None:
    sampler = sampler_of(env_runner)
    if sampler is not None:
        sampler.paused = paused


def _report(env_runner: Any) -> Report | None:
    sampler = sampler_of(env_runner)
    return None if sampler is None else sampler.report()
