"""Games of PettingZoo in which all agents act at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rllib_mamba.envs.pettingzoo.game import AgentID, PettingZooGame, copied, ends


class ParallelGame(PettingZooGame):
    """A PettingZoo `ParallelEnv` as an RLlib multi-agent environment; see `PettingZooGame`.

    Agents may leave before the end of an episode, and appear later than at its beginning, but not come back.
    """

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[AgentID, Any], dict[Any, Any]]:
        """Begins an episode; with `seed`, the same one whenever that seed is given."""
        observations, infos = self.game.reset(seed=self._next_seed(seed), options=options)
        self._ended: set[AgentID] = set()
        return dict(observations), copied(infos, observations)

    def step(
        self, action_dict: Mapping[AgentID, Any]
    ) -> tuple[dict[AgentID, Any], dict[AgentID, float], dict[Any, bool], dict[Any, bool], dict[Any, Any]]:
        """Lets all agents act; see the class for what comes back.

        Raises:
            ValueError: an agent comes back after its end.
        """
        observations, rewards, terminations, truncations, infos = self.game.step(dict(action_dict))
        self._check_that_nobody_comes_back(observations, terminations, truncations)
        # Some games go on reporting those that ended in earlier steps.
        observations = {agent: value for agent, value in observations.items() if agent not in self._ended}
        rewards = {agent: float(value) for agent, value in rewards.items() if agent not in self._ended}
        terminated = {agent: flag for agent, flag in terminations.items() if agent not in self._ended}
        truncated = {agent: flag for agent, flag in truncations.items() if agent not in self._ended}
        for flags in (terminated, truncated):
            self._ended |= {agent for agent, flag in flags.items() if flag}
        over = self._ended.issuperset(self.game.agents)
        return observations, rewards, *ends(terminated, truncated, over), copied(infos, observations)

    def _check_that_nobody_comes_back(
        self,
        observations: Mapping[AgentID, Any],
        terminations: Mapping[AgentID, bool],
        truncations: Mapping[AgentID, bool],
    ) -> None:
        for agent in self._ended.intersection(observations):
            if not (terminations.get(agent) or truncations.get(agent)):
                raise ValueError(
                    f"The game {self.game} gave an observation for {agent!r}, which had ended in an earlier step of "
                    "the episode. An agent that can come back must not end: give it neither a termination nor a "
                    "truncation while it is away."
                )
