"""Games of PettingZoo in which agents act one after another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rllib_mamba.envs.pettingzoo.game import AgentID, PettingZooGame, copied, ends


class TurnBasedGame(PettingZooGame):
    """A PettingZoo `AECEnv` as an RLlib multi-agent environment; see `PettingZooGame`.

    The agent whose turn it is has an observation, and it alone acts. It receives with the observation all rewards since
    it acted last, as PettingZoo's `last()` gives them. Agents that end have their last observation and the rest of
    their rewards at once, whoever's turn it is.
    """

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[AgentID, Any], dict[Any, Any]]:
        """Begins an episode; with `seed`, the same one whenever that seed is given."""
        self.game.reset(seed=self._next_seed(seed), options=options)
        agent = self.game.agent_selection
        return {agent: self.game.observe(agent)}, copied(self.game.infos, [agent])

    def step(
        self, action_dict: Mapping[AgentID, Any]
    ) -> tuple[dict[AgentID, Any], dict[AgentID, float], dict[Any, bool], dict[Any, bool], dict[Any, Any]]:
        """Lets the agent whose turn it is act; see the class for what comes back.

        Raises:
            ValueError: that agent has no action.
        """
        actor = self.game.agent_selection
        if actor not in action_dict:
            raise ValueError(f"It is the turn of {actor!r}, but there are actions for {list(action_dict)} only.")
        self.game.step(action_dict[actor])
        observations: dict[AgentID, Any] = {}
        rewards: dict[AgentID, float] = {}
        terminated: dict[AgentID, bool] = {}
        truncated: dict[AgentID, bool] = {}
        infos: dict[AgentID, Any] = {}
        while self.game.agents:
            agent = self.game.agent_selection
            observations[agent], reward, terminated[agent], truncated[agent], infos[agent] = self.game.last()
            rewards[agent] = float(reward)
            if not (terminated[agent] or truncated[agent]):
                break
            # PettingZoo takes an agent that has ended off the list in a step without an action.
            self.game.step(None)
        over = not self.game.agents
        return observations, rewards, *ends(terminated, truncated, over), copied(infos, infos)
