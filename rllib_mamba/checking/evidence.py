"""What the checks look at: an environment, its spaces, and the episodes that were played in it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from rllib_mamba.checking.episodes import Episode, Step
from rllib_mamba.teams import possible_agents
from rllib_mamba.teams.spaces import AgentSpaces


@dataclass(frozen=True)
class Evidence:
    """An environment, the spaces of its agents, and episodes of random play."""

    env: MultiAgentEnv
    agents: tuple[Hashable, ...]
    observation_spaces: Mapping[Hashable, Any]
    """Agent -> its observation space; None where there is none."""
    action_spaces: Mapping[Hashable, Any]
    """Agent -> its action space; None where there is none."""
    spaces: Mapping[Hashable, AgentSpaces]
    """Agent -> its spaces as a team has them; without the agents whose spaces teams do not support."""
    unsupported: Mapping[Hashable, str]
    """Agent whose spaces teams do not support -> why not."""
    step_limit: int
    """Steps after which an episode is left."""
    episodes: list[Episode] = field(default_factory=list)

    @classmethod
    def of(cls, env: MultiAgentEnv, step_limit: int) -> Evidence:
        """What there is to see before anything is played."""
        agents = possible_agents(env)
        observation_spaces = {agent: _space(env.get_observation_space, agent) for agent in agents}
        action_spaces = {agent: _space(env.get_action_space, agent) for agent in agents}
        supported: dict[Hashable, AgentSpaces] = {}
        unsupported: dict[Hashable, str] = {}
        for agent in agents:
            try:
                supported[agent] = AgentSpaces(agent, observation_spaces[agent], action_spaces[agent])
            except ValueError as error:
                unsupported[agent] = str(error)
        return cls(env, agents, observation_spaces, action_spaces, supported, unsupported, step_limit)

    @property
    def without_spaces(self) -> list[Hashable]:
        """The agents that lack a space."""
        spaces = (self.observation_spaces, self.action_spaces)
        return [agent for agent in self.agents if any(part[agent] is None for part in spaces)]

    @property
    def steps(self) -> Iterator[Step]:
        """The steps of all episodes, resets included."""
        for episode in self.episodes:
            yield from episode.steps

    def flat(self, agent: Hashable, observation: Any) -> np.ndarray | None:
        """An agent's observation as a vector of numbers, or None where it does not fit its space."""
        spaces = self.spaces.get(agent)
        if spaces is None:
            return None
        try:
            return np.asarray(spaces.flatten(observation), np.float64)
        except (TypeError, ValueError):
            return None


def _space(space_of: Callable[[Hashable], Any], agent: Hashable) -> Any:
    try:
        return space_of(agent)
    except KeyError:
        return None
