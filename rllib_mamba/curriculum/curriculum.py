"""A curriculum, and how it is described in plain data."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from rllib_mamba.curriculum.progress import Progress
from rllib_mamba.curriculum.schedules import InOrder, Prioritized, Schedule, Weighted

CURRICULUM_KEY = "curriculum"
"""The key of `env_config` that holds the description of a curriculum."""

EPISODE_RETURN = "episode_return"
"""The metric that every environment has: an episode's return, as RLlib counts it."""

Task = Mapping[str, Any]
"""What an environment's `set_task` takes: settings that hold from the next episode on."""

_KINDS: dict[str, type[InOrder] | type[Weighted] | type[Prioritized]] = {
    "in_order": InOrder,
    "weighted": Weighted,
    "prioritized": Prioritized,
}
#: Options with a value for each task.
_BY_TASK = ("episodes", "weights")


@dataclass(frozen=True)
class Curriculum:
    """Tasks by name, what an episode's score is, and how the next task is chosen.

    Raises:
        ValueError: something is missing or out of its range.
    """

    tasks: Mapping[str, Task]
    """What `set_task` is given, by the name that stands in the results."""
    schedule: Schedule
    """Chooses the task of a new episode."""
    metric: str = EPISODE_RETURN
    """An episode's score: one of the environment's `episode_metrics`, or "episode_return"."""
    smoothing: float = 0.1
    """Weight of the newest episode in its task's score, in (0, 1]; see `Progress.record`."""

    def __post_init__(self) -> None:
        if not self.tasks:
            raise ValueError("a curriculum needs at least one task")
        for name, task in self.tasks.items():
            if not isinstance(name, str) or not name or "/" in name:
                raise ValueError(f"a task's name must be a text without '/', got {name!r}")
            if not isinstance(task, Mapping):
                raise ValueError(f"the task {name!r} must be a dictionary of settings, got {task!r}")
        if not isinstance(self.metric, str) or not self.metric:
            raise ValueError(f"metric must be the name of a metric, got {self.metric!r}")
        number = isinstance(self.smoothing, int | float) and math.isfinite(self.smoothing)
        if not number or not 0 < self.smoothing <= 1:
            raise ValueError(f"smoothing must be a number above 0 and at most 1, got {self.smoothing!r}")

    @property
    def names(self) -> list[str]:
        """The names of the tasks in their order."""
        return list(self.tasks)

    def beginning(self) -> Progress:
        """The progress of a run that has not begun."""
        return Progress.beginning(len(self.tasks))

    @classmethod
    def from_description(cls, description: Any) -> Self:
        """Reads a curriculum from plain data.

        Args:
            description: `kind` ("in_order", "weighted" or "prioritized"), `tasks` (a dictionary of tasks by name, or a
                list, whose tasks are called task_0, task_1, ...), and the options of this class and of the kind's.

        Raises:
            ValueError: what is wrong with it.
        """
        try:
            return cls._read(description)
        except ValueError as error:
            raise ValueError(f"The curriculum cannot be used: {error}.") from None

    @classmethod
    def _read(cls, description: Any) -> Self:
        if not isinstance(description, Mapping):
            raise ValueError(f"it must be a dictionary with 'kind' and 'tasks', got {description!r}")
        options = dict(description)
        kind = options.pop("kind", None)
        if kind not in _KINDS:
            raise ValueError(f"its kind must be one of {', '.join(_KINDS)}, got {kind!r}{_hint(kind, _KINDS)}")
        tasks = options.pop("tasks", None)
        if isinstance(tasks, Sequence) and not isinstance(tasks, str):
            tasks = {f"task_{index}": task for index, task in enumerate(tasks)}
        if not isinstance(tasks, Mapping):
            raise ValueError(f"its tasks must be a list, or a dictionary by name, got {tasks!r}")
        own = {name: options.pop(name) for name in ("metric", "smoothing") if name in options}
        return cls(tasks=dict(tasks), schedule=_schedule(kind, options, len(tasks)), **own)


def _schedule(kind: str, options: dict[str, Any], num_tasks: int) -> Schedule:
    fields = dataclasses.fields(_KINDS[kind])
    known = [field.name for field in fields]
    for name in options:
        if name not in known:
            every = ["kind", "tasks", "metric", "smoothing", *known]
            raise ValueError(f"{kind} has no option {name!r}{_hint(name, every)}; its options are {', '.join(every)}")
    for field in fields:
        if field.default is dataclasses.MISSING and field.name not in options:
            raise ValueError(f"{kind} needs {field.name!r}")
    for name in _BY_TASK:
        if name in options:
            options[name] = _by_task(name, options[name], num_tasks)
    return _KINDS[kind](**options)


def _by_task(name: str, value: Any, num_tasks: int) -> tuple[Any, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        if name == "episodes":
            return (value,) * num_tasks
        raise ValueError(f"{name} must be a list with a number for each task, got {value!r}")
    if len(value) != num_tasks:
        raise ValueError(f"{name} must be {num_tasks} numbers, one for each task, got {len(value)}")
    return tuple(value)


def _hint(given: object, known: Iterable[str]) -> str:
    nearest = difflib.get_close_matches(str(given), known, n=1)
    return f" (did you mean {nearest[0]!r}?)" if nearest else ""
