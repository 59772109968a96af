"""A trained QMIX team in use, with torch and numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rllib_mamba.algorithms.policy import TeamPolicy
from rllib_mamba.algorithms.qmix.acting import AgentNetwork, AgentNetworkConfig


class QMIXPolicy(TeamPolicy):
    """A trained QMIX team; see `TeamPolicy`.

    Where it does not act greedily, actions are random with the probability that training's exploration ends with.
    """

    algorithm_name = "QMIX"
    networks: AgentNetwork

    def _describe_networks(self) -> dict[str, Any]:
        return {"agent_network": vars(self.networks.config)}

    @classmethod
    def _networks_from(cls, description: Mapping[str, Any]) -> AgentNetwork:
        return AgentNetwork(AgentNetworkConfig(**description["agent_network"]))
