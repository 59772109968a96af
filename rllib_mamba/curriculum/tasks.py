"""Environments that can be given a task."""

from __future__ import annotations

from typing import Any

from rllib_mamba.curriculum.curriculum import Curriculum, Task


def set_task(environment: Any, task: Task) -> None:
    """Gives an environment, inside whatever is wrapped around it, the task of its next episode.

    Raises:
        ValueError: it takes no tasks, or not this one.
    """
    inner = environment
    while not callable(getattr(inner, "set_task", None)):
        inner = getattr(inner, "env", None)
        if inner is None:
            raise ValueError(
                f"{_name(environment)} has no method `set_task(task)`, which a curriculum needs: it takes a dictionary "
                "of settings that hold from the next episode on, {} for none"
            )
    inner.set_task(dict(task))


def check_tasks(curriculum: Curriculum, environment: Any) -> None:
    """Makes sure that an environment takes every task; the last one remains set.

    Raises:
        ValueError: it does not take one; the message names it, and says what the environment said.
    """
    for name, task in curriculum.tasks.items():
        try:
            set_task(environment, task)
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"The task {name!r} of the curriculum cannot be used with this environment: {error}"
            ) from error


def _name(environment: Any) -> str:
    while getattr(environment, "env", None) is not None:
        environment = environment.env
    return type(environment).__name__
