"""`StarCraft2Env` with SMACv2's arguments and defaults."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from battle import ALLY, ENEMY
from simulated_environment import SimulatedEnvironment

from smacv2.env.starcraft2.maps.smac_maps import get_smac_map_registry


class CannotResetException(Exception):  # noqa: N818 (as in SMACv2)
    """Units did not appear."""


class StarCraft2Env(SimulatedEnvironment):
    def __init__(
        self,
        map_name: str = "8m",
        step_mul: int = 8,
        move_amount: float = 2,
        difficulty: str = "7",
        game_version: str | None = None,
        seed: int | None = None,
        continuing_episode: bool = False,
        obs_all_health: bool = True,
        obs_own_health: bool = True,
        obs_last_action: bool = False,
        obs_pathing_grid: bool = False,
        obs_terrain_height: bool = False,
        obs_instead_of_state: bool = False,
        obs_timestep_number: bool = False,
        obs_own_pos: bool = False,
        obs_starcraft: bool = True,
        conic_fov: bool = False,
        num_fov_actions: int = 12,
        state_last_action: bool = True,
        state_timestep_number: bool = False,
        reward_sparse: bool = False,
        reward_only_positive: bool = True,
        reward_death_value: float = 10,
        reward_win: float = 200,
        reward_defeat: float = 0,
        reward_negative_scale: float = 0.5,
        reward_scale: bool = True,
        reward_scale_rate: float = 20,
        use_unit_ranges: bool = False,
        min_attack_range: float = 2,
        kill_unit_step_mul: int = 2,
        fully_observable: bool = False,
        capability_config: dict[str, Any] = {},  # noqa: B006 (as in SMACv2)
        replay_dir: str = "",
        replay_prefix: str = "",
        window_size_x: int = 1920,
        window_size_y: int = 1200,
        heuristic_ai: bool = False,
        heuristic_rest: bool = False,
        debug: bool = False,
        prob_obs_enemy: float = 1.0,
        action_mask: bool = True,
    ) -> None:
        arguments: dict[str, Any] = {key: value for key, value in locals().items() if key not in ("self", "__class__")}
        parameters = dict(get_smac_map_registry()[map_name])
        if "team_gen" in capability_config:
            parameters["n_agents"] = capability_config["team_gen"]["n_units"]
            parameters["n_enemies"] = capability_config["team_gen"]["n_enemies"]
        super().__init__(parameters, **arguments)

    def _create_teams(self, episode_config: Mapping[str, Any]) -> None:
        team = episode_config["team_gen"]
        self._controller.create_units(ALLY, team["ally_team"])
        self._controller.create_units(ENEMY, team["enemy_team"])

    def _with_time(self, observation: np.ndarray) -> np.ndarray:
        # Other than SMAC's, as long as it says.
        if self.obs_timestep_number:
            observation[-1] = self._episode_steps / self.episode_limit
        return observation
