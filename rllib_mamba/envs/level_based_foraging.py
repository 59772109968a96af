"""Level-based foraging (pip install lbforaging), a gymnasium environment of tuples, as a `MultiAgentEnv` of RLlib."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import lbforaging  # noqa: F401 (makes the names of its maps known to gymnasium)
import numpy as np
from lbforaging.foraging.environment import ForagingEnv as ForagingGame
from ray.rllib.env.multi_agent_env import MultiAgentEnv


class ForagingEnv(MultiAgentEnv):
    """Players of several levels collect food together.

    Observations of a player: (3 * (food + players),) float32. Actions: 0 none, 1 to 4 moves, 5 load.

    Args:
        config: `name` of a map of lbforaging, which says its size, players and food, and settings that differ from it.

    Source: Papoudakis et al., 2021, arXiv 2006.07869.
    """

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        settings = {"name": "Foraging-8x8-2p-2f-coop-v3", **(config or {})}
        self.game = ForagingGame(**{**gym.spec(settings.pop("name")).kwargs, **settings})
        self.possible_agents = [f"player_{number}" for number in range(self.game.n_agents)]
        self.agents = list(self.possible_agents)
        super().__init__()
        self.observation_spaces = dict(zip(self.agents, self.game.observation_space, strict=True))
        self.action_spaces = dict(zip(self.agents, self.game.action_space, strict=True))

    def reset(
        self, *, seed: int | None = None, options: Any = None
    ) -> tuple[dict[str, np.ndarray], dict[str, dict[str, Any]]]:
        """Begins an episode."""
        observations, _ = self.game.reset(seed=seed)
        self.food = self.game.field.sum()
        return self._by_agent(observations), {}

    def step(self, action_dict: Mapping[str, int]) -> tuple[dict[str, Any], ...]:
        """One step of all players."""
        actions = [int(action_dict[agent]) for agent in self.agents]
        observations, rewards, over, _, _ = self.game.step(actions)
        # The game does not tell the end of the food from the end of the time.
        left = self.game.field.sum()
        terminateds, truncateds = {"__all__": bool(over and not left)}, {"__all__": bool(over and left)}
        infos = {"__common__": {"episode_metrics": {"collected": 1 - left / self.food}}} if over else {}
        return self._by_agent(observations), self._by_agent(rewards), terminateds, truncateds, infos

    def _by_agent(self, values: Any) -> dict[str, Any]:
        return dict(zip(self.agents, values, strict=True))
