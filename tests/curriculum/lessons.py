"""A game whose episodes say which task they were played with."""

import os
import sys
from typing import Any

import gymnasium as gym
import numpy as np
import ray
from ray.rllib.env.multi_agent_env import MultiAgentEnv

LENGTH = 4


class Lessons(MultiAgentEnv):
    """Two pupils for `LENGTH` steps. Settings: `level` (0) and `won` (0.0), the metric of every episode.

    `played` lists the level of every episode of which a step was made.
    """

    def __init__(self, config: Any = None) -> None:
        super().__init__()
        self.settings = _checked(config or {})
        self.task: dict[str, Any] = {}
        self.possible_agents = ["ann", "bob"]
        self.agents = ["ann", "bob"]
        box = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.observation_spaces = dict.fromkeys(self.agents, box)
        self.action_spaces = {agent: gym.spaces.Discrete(2) for agent in self.agents}
        self.played: list[int] = []

    def set_task(self, task: dict[str, Any]) -> None:
        _checked(task)
        self.task = task

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        self.now = {"level": 0, "won": 0.0, **self.settings, **self.task}
        self.step_number = 0
        return self._see(), {}

    def step(self, action_dict: dict[str, int]) -> tuple[Any, ...]:
        self.step_number += 1
        if self.step_number == 1:
            self.played.append(self.now["level"])
        over = self.step_number == LENGTH
        infos = {"__common__": {"episode_metrics": {"won": self.now["won"]}}} if over else {}
        rewards = dict.fromkeys(self.agents, float(self.now["level"]))
        return self._see(), rewards, {"__all__": over}, {"__all__": False}, infos

    def _see(self) -> dict[str, np.ndarray]:
        return {agent: np.full(2, self.step_number / LENGTH, np.float32) for agent in self.agents}


class Untaught(Lessons):
    """Takes no tasks."""

    set_task = None


def played(env_runner: Any) -> list[list[int]]:
    """What each sub-environment of an env runner has played; run where the env runner is."""
    games = [getattr(env.unwrapped, "env", env.unwrapped) for env in env_runner.env.envs]
    return [game.played for game in games]


def die(env_runner: Any) -> None:
    """Ends the process of an env runner."""
    os._exit(1)


def _checked(settings: Any) -> dict[str, Any]:
    for name in settings:
        if name not in ("level", "won"):
            raise ValueError(f"Lessons has no option {name!r}")
    return dict(settings)


# Env runners in processes of their own cannot import what lies beside a test.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
