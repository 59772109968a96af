"""What parallel and turn-based games of PettingZoo have in common as RLlib environments."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from ray.rllib.env.multi_agent_env import MultiAgentEnv

AgentID = Hashable

ALL = "__all__"
"""RLlib's key for the end of the whole episode."""

_LARGEST_SEED = 2**31


class PettingZooGame(MultiAgentEnv):
    """A game of PettingZoo with the agents, spaces, masks and infos that it has itself.

    An agent's last observation comes with its `terminateds` or `truncateds`; an agent that is both has terminated. The
    episode is over when no agent is left. It was cut by a time limit, with `truncateds["__all__"]` in place of flags
    for single agents, when one of those that ended last was truncated and not terminated: RLlib would take a flag of
    every agent for a termination.

    Args:
        game: the game, not yet played.
        seed: with it the seeds of the episodes are a stream of their own, otherwise the game draws as it likes.
            `reset(seed=...)` starts the stream anew.
        stream_index: environments with the same seed and another index have other episodes.

    Raises:
        ValueError: the game does not name its possible agents.
        TypeError: the seed is not an integer.
    """

    def __init__(self, game: Any, seed: int | None = None, stream_index: tuple[int, int] = (0, 0)) -> None:
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
            raise TypeError(f"seed must be an integer or None, not {seed!r}.")
        if seed is not None and seed < 0:
            raise ValueError(f"seed must be at least 0, not {seed}.")
        self.game = game
        self.possible_agents = _possible_agents(game)
        self.agents = list(self.possible_agents)
        super().__init__()
        self.observation_spaces: dict[AgentID, gym.Space] = {
            agent: game.observation_space(agent) for agent in self.possible_agents
        }
        self.action_spaces: dict[AgentID, gym.Space] = {
            agent: game.action_space(agent) for agent in self.possible_agents
        }
        self.metadata = dict(game.metadata)
        self.render_mode = getattr(game, "render_mode", None)
        self._seeds = None if seed is None else np.random.default_rng([seed, *stream_index])

    def state(self) -> np.ndarray:
        """The global state, (S,) float32, after a reset or step. Not in the infos: it takes some games long to make.

        Raises:
            NotImplementedError: the game has none, or one that is an image.
        """
        # Some games have an attribute of this name for something else.
        has_state = callable(getattr(self.game.unwrapped, "state", None))
        if not has_state or _is_image(getattr(self.game, "state_space", None)):
            raise NotImplementedError(f"The game {self.game} has no global state of numbers.")
        return np.array(self.game.state(), np.float32).reshape(-1)

    def render(self) -> Any:
        """What the game draws in its `render_mode`, None without one."""
        return self.game.render()

    def close(self) -> None:
        """Closes the game."""
        self.game.close()

    # ------------------------------------------------------------------ for the two kinds of games

    def _next_seed(self, seed: int | None) -> int | None:
        if seed is not None:
            self._seeds = np.random.default_rng(seed)
            return int(seed)
        return None if self._seeds is None else int(self._seeds.integers(_LARGEST_SEED))


def ends(
    terminated: Mapping[AgentID, bool], truncated: Mapping[AgentID, bool], over: bool
) -> tuple[dict[Any, bool], dict[Any, bool]]:
    """RLlib's `terminateds` and `truncateds` of a step, from PettingZoo's flags of those that played until then."""
    terminateds: dict[Any, bool] = {agent: bool(flag) for agent, flag in terminated.items()}
    truncateds: dict[Any, bool] = {
        agent: bool(flag) and not terminateds.get(agent, False) for agent, flag in truncated.items()
    }
    cut = over and any(truncateds.values())
    if cut:
        truncateds = dict.fromkeys(truncateds, False)
    return {**terminateds, ALL: over and not cut}, {**truncateds, ALL: cut}


def copied(infos: Mapping[AgentID, Any], agents: Iterable[AgentID]) -> dict[AgentID, dict[str, Any]]:
    """The infos of some agents; copies, because many games go on writing into those that they gave away."""
    return {agent: dict(infos.get(agent) or {}) for agent in agents}


def _possible_agents(game: Any) -> list[AgentID]:
    agents = getattr(game, "possible_agents", None)
    if not agents:
        raise ValueError(
            f"The game {game} does not name its agents in `possible_agents`. RLlib has to know all agents that can "
            "ever appear, and their spaces, before the first episode."
        )
    return list(agents)


def _is_image(space: gym.Space | None) -> bool:
    return isinstance(space, gym.spaces.Box) and space.dtype == np.uint8 and len(space.shape) > 1
