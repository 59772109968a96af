"""Environments that can be given a task."""

from __future__ import annotations

from collections.abc import Mapping
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


def episode_metrics(vector_env: Any, env_index: int) -> Mapping[str, float]:
    """What a sub-environment gave as `episode_metrics` at the last step of its episode.

    A `TeamEnv` remembers it. RLlib keeps what an environment's infos say of all agents out of its episodes, so that of
    other environments is read where they are.
    """
    remembered = getattr(vector_env.envs[env_index].unwrapped, "episode_metrics", None)
    if isinstance(remembered, Mapping):
        return remembered
    common = vector_env._infos[env_index].get("__common__") or {}
    return common.get("episode_metrics") or {}


def _name(environment: Any) -> str:
    while getattr(environment, "env", None) is not None:
        environment = environment.env
    return type(environment).__name__
