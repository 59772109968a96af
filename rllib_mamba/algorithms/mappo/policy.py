"""A trained MAPPO team in use, with torch and numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rllib_mamba.algorithms.mappo.acting import ActorConfig, TeamActor
from rllib_mamba.algorithms.mappo.networks import NetworkSizes
from rllib_mamba.algorithms.policy import TeamPolicy


class MAPPOPolicy(TeamPolicy):
    """A team trained with MAPPO, without a cluster and without an environment (see `TeamPolicy`)."""

    algorithm_name = "MAPPO"
    networks: TeamActor

    def _describe_networks(self) -> dict[str, Any]:
        return {"actor": asdict(self.networks.config)}

    @classmethod
    def _networks_from(cls, description: Mapping[str, Any]) -> TeamActor:
        actor = dict(description["actor"])
        return TeamActor(ActorConfig(**actor | {"sizes": NetworkSizes(**actor["sizes"])}))
