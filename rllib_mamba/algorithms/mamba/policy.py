"""A trained MAMBA team in use, with torch and numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rllib_mamba.algorithms.mamba.acting import TeamNetworks
from rllib_mamba.algorithms.policy import TeamPolicy
from rllib_mamba.world_model import WorldModelConfig


class MAMBAPolicy(TeamPolicy):
    """A team trained with MAMBA, without a cluster and without an environment (see `TeamPolicy`)."""

    algorithm_name = "MAMBA"
    networks: TeamNetworks

    def _describe_networks(self) -> dict[str, Any]:
        return {
            "world_model": vars(self.networks.world_model.config),
            "mask_dead_agents": self.networks.mask_dead_agents,
        }

    @classmethod
    def _networks_from(cls, description: Mapping[str, Any]) -> TeamNetworks:
        return TeamNetworks(WorldModelConfig(**description["world_model"]), description["mask_dead_agents"])
