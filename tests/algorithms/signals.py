"""A game with everything that a policy has to deal with."""

from typing import Any

import gymnasium as gym
import numpy as np
from ray.rllib.env.multi_agent_env import MultiAgentEnv

SIZES = {"scout": (2, 3), "heavy_0": (4, 2), "heavy_1": (4, 2)}


class Signals(MultiAgentEnv):
    """Agents of different sizes that die, appear and take turns, with action masks and a communication mask.

    "scout" (2 numbers, actions 5 to 7) terminates at a random step, with a last observation; "heavy_0" (a (2, 2) box,
    actions 0 and 1) appears at step 2; "heavy_1" acts at every other step. Observations, masks and who hears whom are
    random. It keeps what it gave last, and the actions it got.

    Args:
        config: `length` of an episode, default 10.
    """

    def __init__(self, config: Any = None) -> None:
        super().__init__()
        self.possible_agents = list(SIZES)
        self.agents = list(SIZES)
        shapes = {"scout": (2,), "heavy_0": (2, 2), "heavy_1": (2, 2)}
        self.observation_spaces = {
            agent: gym.spaces.Dict(
                {
                    "observation": gym.spaces.Box(-np.inf, np.inf, shapes[agent], np.float32),
                    "action_mask": gym.spaces.MultiBinary(num_actions),
                }
            )
            for agent, (_, num_actions) in SIZES.items()
        }
        self.length = (config or {}).get("length", 10)
        self.received: dict[str, int] = {}
        self.action_spaces = {
            "scout": gym.spaces.Discrete(3, start=5),
            "heavy_0": gym.spaces.Discrete(2),
            "heavy_1": gym.spaces.Discrete(2),
        }

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        super().reset(seed=seed)
        self.step_number = 0
        self.death = int(self.np_random.integers(2, 6))
        return self._observe()

    def step(self, action_dict: dict[str, int]) -> tuple[Any, ...]:
        for agent, action in action_dict.items():
            assert self.seen[agent]["action_mask"][action - self.action_spaces[agent].start], (agent, action)
        self.received = dict(action_dict)
        self.step_number += 1
        observations, infos = self._observe()
        self.terminateds = {"scout": self.step_number == self.death, "__all__": self.step_number >= self.length}
        rewards = {agent: float(self.np_random.normal()) for agent in action_dict}
        return observations, rewards, self.terminateds, {"__all__": False}, infos

    def _observe(self) -> tuple[dict[str, Any], dict[str, Any]]:
        there = {"scout": self.step_number <= self.death, "heavy_0": self.step_number >= 2}
        there["heavy_1"] = self.step_number % 2 == 0
        self.seen = {agent: self._sight(agent) for agent in SIZES if there[agent]}
        hear = self.np_random.integers(2, size=(3, 3))
        np.fill_diagonal(hear, 1)
        self.infos = {"__common__": {"comm_mask": hear}}
        return self.seen, self.infos

    def _sight(self, agent: str) -> dict[str, np.ndarray]:
        space, (_, num_actions) = self.observation_spaces[agent]["observation"], SIZES[agent]
        mask = self.np_random.integers(2, size=num_actions).astype(np.int8)
        mask[self.np_random.integers(num_actions)] = 1
        return {"observation": self.np_random.normal(size=space.shape).astype(np.float32), "action_mask": mask}
