"""A game that cannot be played without communication."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from ray.rllib.env.multi_agent_env import MultiAgentEnv

_OPTIONS = {"num_agents": 3, "num_symbols": 3, "episode_length": 12}
_SMALLEST = 2


class SymbolGame(MultiAgentEnv):
    """Every player sees a fresh symbol at each step and names the one that its neighbour saw one step before.

    Player i answers for player i - 1 (player 0 for the last one). Nothing that a player sees tells it the answer: what
    the neighbour saw has to reach it. Symbols are uniform and independent, so that without communication no strategy is
    better than guessing.

    Observation: (num_symbols,) float32, one-hot. Actions: Discrete(num_symbols). Reward: 1 for a right answer, else 0;
    the first action of an episode answers nothing and is not rewarded. Episodes terminate after `episode_length`
    actions.

    Args:
        config: `num_agents` (default 3), `num_symbols` (3) and `episode_length` (12), each an integer of at least 2.

    Raises:
        ValueError: an unknown option, or one out of range.
    """

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        options = {**_OPTIONS, **(config or {})}
        _check(options)
        self.num_symbols: int = options["num_symbols"]
        self.episode_length: int = options["episode_length"]
        self.possible_agents = [f"player_{index}" for index in range(options["num_agents"])]
        self.agents = list(self.possible_agents)
        super().__init__()
        one_hot = gym.spaces.Box(0.0, 1.0, (self.num_symbols,), np.float32)
        self.observation_spaces = dict.fromkeys(self.possible_agents, one_hot)
        self.action_spaces: dict[str, gym.Space] = {
            player: gym.spaces.Discrete(self.num_symbols) for player in self.possible_agents
        }

    @property
    def best_return(self) -> float:
        """The highest return of an episode, of each player and so of the team's mean."""
        return float(self.episode_length - 1)

    @property
    def chance_return(self) -> float:
        """The expected return of guessing, of each player and so of the team's mean."""
        return self.best_return / self.num_symbols

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Begins an episode with new symbols."""
        super().reset(seed=seed)
        self._step = 0
        self._answers: np.ndarray | None = None
        self._draw()
        return self._observations(), {}

    def step(
        self, action_dict: Mapping[str, int]
    ) -> tuple[dict[str, np.ndarray], dict[str, float], dict[str, bool], dict[str, bool], dict[str, Any]]:
        """Rewards the answers, then shows every player its next symbol."""
        rewards = dict.fromkeys(self.possible_agents, 0.0)
        if self._answers is not None:
            for player, answer in zip(self.possible_agents, self._answers, strict=True):
                rewards[player] = float(action_dict[player] == answer)
        self._step += 1
        # Player i answers for player i - 1.
        self._answers = np.roll(self._symbols, 1)
        self._draw()
        return self._observations(), rewards, {"__all__": self._step >= self.episode_length}, {"__all__": False}, {}

    def _draw(self) -> None:
        self._symbols = self.np_random.integers(self.num_symbols, size=len(self.possible_agents))

    def _observations(self) -> dict[str, np.ndarray]:
        one_hot = np.eye(self.num_symbols, dtype=np.float32)
        return {player: one_hot[symbol] for player, symbol in zip(self.possible_agents, self._symbols, strict=True)}


def _check(options: Mapping[str, Any]) -> None:
    for name, value in options.items():
        if name not in _OPTIONS:
            raise ValueError(f"SymbolGame has no option {name!r}; its options are {', '.join(_OPTIONS)}.")
        if not isinstance(value, int) or isinstance(value, bool) or value < _SMALLEST:
            raise ValueError(f"SymbolGame: {name} must be an integer of at least {_SMALLEST}, not {value!r}.")
