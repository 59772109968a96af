"""The two-step game by which the authors of QMIX show what it can represent (Rashid et al., 2018, section 5)."""

from typing import Any

import gymnasium as gym
import numpy as np
from ray.rllib.env.multi_agent_env import MultiAgentEnv

#: What the team gets for the actions (of the first agent, of the second) in the second step.
PAYOFFS = {1: ((7.0, 7.0), (7.0, 7.0)), 2: ((0.0, 1.0), (1.0, 8.0))}


class TwoStepGame(MultiAgentEnv):
    """Two agents with two actions; the first agent's first leads to a safe game, worth 7, or to one worth 0 to 8.

    Everybody sees the state (first step, safe game, other game), which is the global state too. Both agents get the
    team's reward.
    """

    def __init__(self, config: Any = None) -> None:
        super().__init__()
        self.possible_agents = ["first", "second"]
        self.agents = list(self.possible_agents)
        box = gym.spaces.Box(0.0, 1.0, (3,), np.float32)
        self.observation_spaces = dict.fromkeys(self.agents, box)
        self.action_spaces = dict.fromkeys(self.agents, gym.spaces.Discrete(2))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        self.game = 0
        return self._observe()

    def step(self, action_dict: dict[str, int]) -> tuple[Any, ...]:
        reward, over = 0.0, self.game > 0
        if over:
            reward = PAYOFFS[self.game][action_dict["first"]][action_dict["second"]]
        else:
            self.game = 1 + action_dict["first"]
        observations, infos = self._observe()
        return observations, dict.fromkeys(self.agents, reward), {"__all__": over}, {"__all__": False}, infos

    def _observe(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        state = np.eye(3, dtype=np.float32)[self.game]
        return dict.fromkeys(self.agents, state), {"__common__": {"state": state}}
