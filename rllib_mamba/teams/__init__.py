"""Teams: agents that share a module become one RLlib agent. The only place that knows agent ids."""

from rllib_mamba.teams.configured import TEAM_SETUP_KEY, ConfiguredTeamEnv, TeamSetup
from rllib_mamba.teams.formation import form_teams
from rllib_mamba.teams.spaces import possible_agents
from rllib_mamba.teams.team_env import TeamEnv

__all__ = ["TEAM_SETUP_KEY", "ConfiguredTeamEnv", "TeamEnv", "TeamSetup", "form_teams", "possible_agents"]
