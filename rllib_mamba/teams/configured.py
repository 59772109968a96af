"""The environment class that an algorithm's configuration gives to RLlib."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ray.rllib.env.env_context import EnvContext

from rllib_mamba.registry import EnvSpecifier, make_environment
from rllib_mamba.teams.spaces import AgentID
from rllib_mamba.teams.team_env import TeamEnv, TeamReward

TEAM_SETUP_KEY = "team_env"
"""The key of `env_config` that holds the `TeamSetup`; all others are the user's."""


@dataclass(frozen=True)
class TeamSetup:
    """What a `ConfiguredTeamEnv` is made of: the user's environment, team id -> members, and how rewards are joined."""

    env: EnvSpecifier
    teams: Mapping[str, tuple[AgentID, ...]]
    reward: TeamReward = "mean"


class ConfiguredTeamEnv(TeamEnv):
    """A `TeamEnv` that RLlib can make from `config.env_config`, in any process.

    Args:
        config: the user's `env_config` with a `TeamSetup` under `TEAM_SETUP_KEY`. The user's environment gets the rest,
            with the worker index and what else RLlib says about the place it runs in.

    Raises:
        ValueError: there is no `TeamSetup`; and what `make_environment` and `TeamEnv` raise.
    """

    def __init__(self, config: EnvContext | dict[str, Any]) -> None:
        setup = config.get(TEAM_SETUP_KEY)
        if not isinstance(setup, TeamSetup):
            raise ValueError(
                f"env_config[{TEAM_SETUP_KEY!r}] must be a TeamSetup, not {setup!r}: an algorithm's configuration puts "
                "it there when the environment and the teams are known."
            )
        context = config if isinstance(config, EnvContext) else EnvContext(config, worker_index=0)
        own = {key: value for key, value in context.items() if key != TEAM_SETUP_KEY}
        env = make_environment(setup.env, context.copy_with_overrides(env_config=own))
        # RLlib makes all sub-environments of an env runner from one context and leaves their index at 0.
        context.vector_index += 1
        super().__init__(env, setup.teams, setup.reward)
