"""A faultless environment, and ways to spoil what it returns."""

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from ray.rllib.env.multi_agent_env import MultiAgentEnv

AGENTS = ("ann", "bob", "cid")
LONGEST = 15
BOB_DIES = 3

Parts = dict[str, Any]


class Faultless(MultiAgentEnv):
    """Three agents on a line who are paid for steps to the right; bob dies at step 3, everybody at the right end.

    It gives everything that an environment can give: masks of both kinds, a state, metrics, images. `spoil` may change
    the dictionaries of a reset or step, and what it returns replaces the result.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    render_mode = "rgb_array"

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.possible_agents = list(AGENTS)
        self.agents = list(AGENTS)
        self.observation_spaces = {agent: gym.spaces.Box(-1.0, 1.0, (3,), np.float32) for agent in AGENTS}
        self.action_spaces = {agent: gym.spaces.Discrete(3) for agent in AGENTS}
        self.resets = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.resets += 1
        self.t = 0
        self.gone: set[str] = set()
        self.places = dict.fromkeys(AGENTS, 0)
        observations, infos = self._observe(list(AGENTS))
        return self._given({"observations": observations, "infos": infos})

    def step(self, action_dict: Mapping[str, int]) -> Any:
        self.t += 1
        acting = [agent for agent in AGENTS if agent not in self.gone]
        for agent, action in action_dict.items():
            self.places[agent] = min(4, max(0, self.places[agent] + int(action) - 1))
        rewards = {agent: 0.1 * (int(action) - 1) for agent, action in action_dict.items()}
        won = max(self.places.values()) == 4
        terminateds = {agent: won or (agent == "bob" and self.t >= BOB_DIES) for agent in acting}
        self.gone |= {agent for agent, ended in terminateds.items() if ended}
        observations, infos = self._observe(acting)
        late = self.t >= LONGEST and not won
        if won or late:
            infos["__common__"]["episode_metrics"] = {"won": float(won)}
        parts = {
            "observations": observations,
            "rewards": rewards,
            "terminateds": {**terminateds, "__all__": won},
            "truncateds": {"__all__": late},
            "infos": infos,
        }
        return self._given(parts)

    def render(self) -> Any:
        return np.zeros((4, 6, 3), np.uint8)

    def spoil(self, parts: Parts) -> Any:
        """Changes what a reset or step returns; a result replaces it."""

    def _given(self, parts: Parts) -> Any:
        replaced = self.spoil(parts)
        return tuple(parts.values()) if replaced is None else replaced

    def _observe(self, agents: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
        noise = self.np_random.uniform(-1, 1, (len(AGENTS), 2))
        observations = {
            agent: np.array([self.places[agent] / 4, *noise[row]], np.float32)
            for row, agent in enumerate(AGENTS)
            if agent in agents
        }
        infos: dict[str, Any] = {
            agent: {"action_mask": np.array([self.places[agent] > 0, 1, 1], np.int8)} for agent in agents
        }
        places = np.array(list(self.places.values()), np.float32)
        infos["__common__"] = {"comm_mask": np.abs(places[:, None] - places) < 2, "state": places}
        return observations, infos


def spoiled(change: Callable[[Any, Parts], Any]) -> type[Faultless]:
    """A `Faultless` environment whose results `change` changes or replaces."""
    return type("Spoiled", (Faultless,), {"spoil": lambda self, parts: change(self, parts)})


def unlike(**attributes: Any) -> type[Faultless]:
    """A `Faultless` environment with other attributes, set after its constructor has run."""

    def __init__(self: Any, config: Any = None) -> None:  # noqa: N807
        Faultless.__init__(self, config)
        for name, value in attributes.items():
            setattr(self, name, value)

    return type("Unlike", (Faultless,), {"__init__": __init__})
