"""From an agent's own spaces to the fixed-size rows of its team."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import utils
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from rllib_mamba.teams import columns

AgentID = Hashable

OBSERVATION_KEYS = ("observation", "observations", "obs")
"""How PettingZoo and RLlib name the observation beside a mask in a dict."""

MASK_KEYS = (columns.ACTION_MASK, columns.COMM_MASK)

_SMALLEST_IMAGE = 32
"""Height and width in pixels; smaller arrays of bytes are maps of a grid."""

_LEAF_SPACES = (gym.spaces.Box, gym.spaces.Discrete, gym.spaces.MultiBinary, gym.spaces.MultiDiscrete)


class AgentSpaces:
    """One agent's observation and action space, and how an observation becomes a flat vector.

    Discrete parts become one-hot vectors, dicts and tuples the concatenation of their parts. Of a dict that carries a
    mask, everything but the masks is the observation: `space` is the space of that part.

    Raises:
        ValueError: a space that is missing, cannot be flattened or is an image, or actions that are not Discrete.
    """

    def __init__(self, agent: AgentID, observation_space: gym.Space | None, action_space: gym.Space | None) -> None:
        if not isinstance(action_space, gym.spaces.Discrete):
            raise ValueError(
                f"The action space of agent {agent!r} is {action_space}, but only Discrete action spaces are supported."
            )
        self.num_actions = int(action_space.n)
        self.first_action = int(action_space.start)
        self.mask_keys: frozenset[str] = frozenset()
        self._key: str | None = None
        self.space: Any = self._without_masks(observation_space)
        _check_observation_space(agent, self.space, observation_space)
        self._box_shape = self.space.shape if isinstance(self.space, gym.spaces.Box) else None
        self.observation_size = int(utils.flatdim(self.space))

    def _without_masks(self, space: gym.Space | None) -> Any:
        if not isinstance(space, gym.spaces.Dict):
            return space
        self.mask_keys = frozenset(MASK_KEYS) & space.spaces.keys()
        if not self.mask_keys:
            return space
        rest = {key: part for key, part in space.spaces.items() if key not in self.mask_keys}
        if len(rest) == 1 and next(iter(rest)) in OBSERVATION_KEYS:
            self._key, part = next(iter(rest.items()))
            return part
        return gym.spaces.Dict(rest)

    def flatten(self, observation: Any) -> np.ndarray:
        """The observation as a vector (observation_size,), possibly a view of the given one.

        Raises:
            ValueError: the observation does not fit the space.
        """
        try:
            if self._key is not None:
                observation = observation[self._key]
            if self._box_shape is not None:
                array = np.asarray(observation)
                if array.shape != self._box_shape:
                    raise ValueError(f"its shape is {array.shape}")
                return array if array.ndim == 1 else array.reshape(-1)
            flat = np.asarray(utils.flatten(self.space, observation))
        except (AssertionError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}" if not isinstance(error, ValueError) else str(error)
            raise ValueError(f"does not fit the space {self.space} ({reason})") from error
        if flat.shape != (self.observation_size,):
            size = self.observation_size
            raise ValueError(f"does not fit the space {self.space} (it has {flat.size} numbers, not {size})")
        return flat


def agent_spaces(env: MultiAgentEnv, agent: AgentID) -> AgentSpaces:
    """The spaces of one agent of an environment.

    Raises:
        ValueError: a space is missing or not supported.
    """
    try:
        return AgentSpaces(agent, env.get_observation_space(agent), env.get_action_space(agent))
    except KeyError as error:
        raise ValueError(
            f"{type(env).__name__} has no observation or action space for agent {agent!r}: "
            "define `observation_spaces` and `action_spaces` for every possible agent."
        ) from error


def possible_agents(env: MultiAgentEnv) -> tuple[AgentID, ...]:
    """All agents that may ever appear in an environment, in an order that is the same in every process.

    Environments of the old style name their agents in a set, whose order differs between processes: those are sorted,
    numbers within names by value.

    Raises:
        TypeError: not a MultiAgentEnv.
        ValueError: the environment names no agents, or one twice.
    """
    if not isinstance(env, MultiAgentEnv):
        raise TypeError(
            f"{type(env).__name__} is not an RLlib MultiAgentEnv. Wrap a single-agent environment with RLlib's "
            "`make_multi_agent`, a game of PettingZoo with `ParallelGame` or `TurnBasedGame` of "
            "`rllib_mamba.envs.pettingzoo`."
        )
    agent_set = getattr(env, "_agent_ids", None) or set()
    agents = list(env.possible_agents or env.agents or agent_set)
    if not agents:
        raise ValueError(
            f"{type(env).__name__} names no agents: set `self.possible_agents` in its constructor to the list of all "
            "agent ids that can ever appear."
        )
    if len(set(agents)) != len(agents):
        raise ValueError(f"{type(env).__name__}.possible_agents names an agent more than once: {agents}.")
    if set(agents) == set(agent_set):
        agents.sort(key=_natural_order)
    return tuple(agents)


def _natural_order(agent: AgentID) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", str(agent))
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts if part]


def _check_observation_space(agent: AgentID, space: Any, whole: gym.Space | None) -> None:
    if isinstance(space, gym.spaces.Dict):
        parts: list[Any] = list(space.spaces.values())
    elif isinstance(space, gym.spaces.Tuple):
        parts = list(space.spaces)
    elif _is_image(space):
        raise ValueError(
            f"The observation space of agent {agent!r} is an image: {space} in {whole}. Images are not supported: use "
            "observations of numbers, which many environments have as an option, or let a network of your own make "
            "them of the image."
        )
    elif isinstance(space, _LEAF_SPACES):
        return
    else:
        parts = []
    if not parts:
        raise ValueError(
            f"The observation space of agent {agent!r} is not supported: {space} in {whole}. Supported are Box, "
            "Discrete, MultiBinary, MultiDiscrete, and Dict and Tuple of these."
        )
    for part in parts:
        _check_observation_space(agent, part, whole)


def _is_image(space: Any) -> bool:
    is_bytes = isinstance(space, gym.spaces.Box) and space.dtype == np.uint8
    return is_bytes and len(space.shape) == 3 and min(space.shape[:2]) >= _SMALLEST_IMAGE
