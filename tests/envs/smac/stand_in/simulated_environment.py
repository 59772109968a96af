"""What the `StarCraft2Env` of SMAC and of SMACv2 have in common, with all that is odd about them."""

import atexit
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from battle import ALLY, ENEMY, MAP_SIZE, RANGE, Order, Point, Unit
from pysc2 import maps, run_configs
from pysc2.lib import protocol

SIGHT = 9
MOVES = {2: (0, 1), 3: (0, -1), 4: (1, 0), 5: (-1, 0)}
MEDIVAC = 54
FAULTS = (protocol.ProtocolError, protocol.ConnectionError)


class SimulatedEnvironment:
    """The public interface of `StarCraft2Env`; attributes without an underscore are its own as well."""

    n_actions_no_attack = 6

    def __init__(self, map_params: Mapping[str, Any], **arguments: Any) -> None:
        vars(self).update(arguments)
        self._seed = arguments["seed"]
        del self.seed
        self.n_agents, self.n_enemies = map_params["n_agents"], map_params["n_enemies"]
        self.episode_limit = map_params["limit"]
        self.map_type, self.unit_type_bits = map_params["map_type"], map_params["unit_type_bits"]
        self.shield_bits_ally = int(map_params["a_race"] == "P")
        self.shield_bits_enemy = int(map_params["b_race"] == "P")
        self.n_actions = self.n_actions_no_attack + self.n_enemies
        self.agents: dict[int, Unit] = {}
        self.enemies: dict[int, Unit] = {}
        self.battles_won = self.battles_game = self.timeouts = self.force_restarts = 0
        self._episode_count = self._episode_steps = 0
        self.last_action = np.zeros((self.n_agents, self.n_actions))
        self.map_x = self.map_y = 0
        self.pathing_grid: Any = None
        self.max_reward = self.n_enemies * self.reward_death_value + self.reward_win
        self._sc2_proc: Any = None
        self._controller: Any = None
        atexit.register(lambda: self.close())

    # ------------------------------------------------------------------ the game

    def _launch(self) -> None:
        self._run_config = run_configs.get(version=self.game_version)
        self._run_config.map_data(maps.get(self.map_name).path)
        self._sc2_proc = self._run_config.start()
        self._controller = self._sc2_proc.controller
        request = type("Request", (), {"map_name": self.map_name, "random_seed": self._seed})
        self._controller.create_game(request)
        self._controller.join_game(request)
        self.map_x = self.map_y = self._controller.game_info().map_size
        self.pathing_grid = np.ones((MAP_SIZE, MAP_SIZE), bool)
        self.pathing_grid[:, :2] = False

    def reset(self, episode_config: Mapping[str, Any] | None = None) -> tuple[list[np.ndarray], np.ndarray]:
        self._episode_steps = 0
        if self._episode_count == 0:
            self._launch()
        else:
            try:
                self._controller.debug([unit.tag for unit in [*self.agents.values(), *self.enemies.values()]])
                self._controller.step(2)
            except FAULTS:
                self.full_restart()
        self.last_action = np.zeros((self.n_agents, self.n_actions))
        try:
            self._create_teams(episode_config or {})
            self._find_units()
        except FAULTS:
            self.full_restart()
        return self.get_obs(), self.get_state()

    def _create_teams(self, episode_config: Mapping[str, Any]) -> None:
        """For SMACv2, whose maps are empty."""

    def _find_units(self) -> None:
        units = self._controller.observe().observation.raw_data.units
        allies = sorted((unit for unit in units if unit.owner == ALLY), key=lambda unit: (unit.unit_type, unit.tag))
        self.agents = dict(enumerate(allies))
        self.enemies = dict(enumerate(unit for unit in units if unit.owner == ENEMY))
        if self._episode_count == 0:
            self.max_reward += sum(unit.health_max + unit.shield_max for unit in self.enemies.values())

    def full_restart(self) -> None:
        self._sc2_proc.close()
        self._launch()
        self.force_restarts += 1

    def close(self) -> None:
        if self._sc2_proc:
            self._sc2_proc.close()

    def save_replay(self) -> None:
        prefix = self.replay_prefix or self.map_name
        self._run_config.save_replay(self._controller.save_replay(), replay_dir=self.replay_dir, prefix=prefix)

    def seed(self) -> int | None:
        return self._seed

    def render(self, mode: str = "human") -> None:
        raise TypeError("'float' object cannot be interpreted as an integer")

    # ------------------------------------------------------------------ steps

    def step(self, actions: list[int]) -> tuple[float, bool, dict[str, Any]]:
        self.last_action = np.eye(self.n_actions)[np.array([int(action) for action in actions])]
        orders = []
        for agent, action in enumerate(actions):
            if self.heuristic_ai:
                action = actions[agent] = self._choose(agent)
            orders += self._order(agent, action)
        try:
            self._controller.actions(orders)
            self._controller.step(self.step_mul)
            units = self._controller.observe().observation.raw_data.units
        except FAULTS:
            self.full_restart()
            return 0, True, {}
        self._episode_steps += 1
        before = self._strength()
        dead_before = sum(enemy.health <= 0 for enemy in self.enemies.values())
        self._update(units)
        dead_allies, dead_enemies = self._dead(self.agents), self._dead(self.enemies)
        reward = abs(before - self._strength()) + (dead_enemies - dead_before) * self.reward_death_value
        info: dict[str, Any] = {"battle_won": False, "dead_allies": dead_allies, "dead_enemies": dead_enemies}
        fighters = [unit for unit in self.agents.values() if unit.health > 0 and unit.unit_type != MEDIVAC]
        won, lost = dead_enemies == self.n_enemies, not fighters
        over = won or lost
        if over:
            self.battles_game += 1
            if won and fighters:
                self.battles_won += 1
                info["battle_won"] = True
                reward += self.reward_win
            else:
                reward += self.reward_defeat
        elif self._episode_steps >= self.episode_limit:
            over = True
            if self.continuing_episode:
                info["episode_limit"] = True
            self.battles_game += 1
            self.timeouts += 1
        self._episode_count += over
        if self.reward_scale:
            reward /= self.max_reward / self.reward_scale_rate
        return reward, over, info

    def _choose(self, agent: int) -> int:
        legal = np.flatnonzero(self.get_avail_agent_actions(agent))
        return int(legal[-1])

    def _order(self, agent: int, action: int) -> list[Order]:
        assert self.get_avail_agent_actions(agent)[action] == 1, f"Agent {agent} cannot perform action {action}"
        unit = self.agents[agent]
        if action < 2:
            return []
        if action in MOVES:
            x, y = MOVES[action]
            return [Order(unit.tag, Point(unit.pos.x + x * self.move_amount, unit.pos.y + y * self.move_amount))]
        return [Order(unit.tag, self._targets(unit)[action - self.n_actions_no_attack].tag)]

    def _targets(self, unit: Unit) -> dict[int, Unit]:
        return self.agents if unit.unit_type == MEDIVAC else self.enemies

    def _update(self, units: list[Unit]) -> None:
        by_tag = {unit.tag: unit for unit in units}
        for team in (self.agents, self.enemies):
            for number, unit in team.items():
                if unit.tag in by_tag:
                    team[number] = by_tag[unit.tag]
                else:
                    unit.health = unit.shield = 0

    def _strength(self) -> float:
        return sum(enemy.health + enemy.shield for enemy in self.enemies.values())

    @staticmethod
    def _dead(team: Mapping[int, Unit]) -> int:
        return sum(unit.health <= 0 for unit in team.values())

    # ------------------------------------------------------------------ what agents see

    def get_obs(self) -> list[np.ndarray]:
        return [self.get_obs_agent(agent) for agent in range(self.n_agents)]

    def get_obs_agent(self, agent_id: int) -> np.ndarray:
        unit = self.agents[agent_id]
        others = [self.agents[other] for other in range(self.n_agents) if other != agent_id]
        parts = [np.array(self.get_avail_agent_actions(agent_id)[2:6], np.float32)]
        parts += [np.zeros(8 * self.obs_pathing_grid + 9 * self.obs_terrain_height)]
        parts += [self._seen(unit, enemy) for enemy in self.enemies.values()]
        for other in others:
            parts.append(self._seen(unit, other))
            if self.obs_last_action:
                parts.append(self.last_action[[ally.tag for ally in self.agents.values()].index(other.tag)])
        parts.append(self._strength_of(unit) if self.obs_own_health or self.obs_all_health else np.zeros(0))
        parts.append(self._type_of(unit))
        place_for_time = np.zeros(int(self.obs_timestep_number))
        observation = np.concatenate([*parts, place_for_time]).astype(np.float32)
        if unit.health <= 0:
            observation[:] = 0
        return self._with_time(observation)

    def _with_time(self, observation: np.ndarray) -> np.ndarray:
        if self.obs_timestep_number:
            return np.append(observation, self._episode_steps / self.episode_limit)
        return observation

    def _seen(self, unit: Unit, other: Unit) -> np.ndarray:
        x, y = other.pos.x - unit.pos.x, other.pos.y - unit.pos.y
        distance = math.hypot(x, y)
        there = [distance <= RANGE, distance / SIGHT, x / SIGHT, y / SIGHT]
        health = self._strength_of(other) if self.obs_all_health else np.zeros(0)
        seen = np.concatenate([there, health, self._type_of(other)])
        return seen if distance < SIGHT and other.health > 0 else np.zeros_like(seen)

    def _strength_of(self, unit: Unit) -> np.ndarray:
        shields = self.shield_bits_ally if unit.owner == ALLY else self.shield_bits_enemy
        shield = [unit.shield / unit.shield_max] if shields else []
        return np.array([unit.health / unit.health_max, *shield])

    def _type_of(self, unit: Unit) -> np.ndarray:
        types = sorted({other.unit_type for other in self.agents.values()})
        place = types.index(unit.unit_type) if unit.unit_type in types else 0
        return np.eye(max(self.unit_type_bits, len(types)))[place][: self.unit_type_bits]

    def get_obs_size(self) -> int:
        ally, enemy = 1 + self.shield_bits_ally, 1 + self.shield_bits_enemy
        of_enemy = 4 + self.obs_all_health * enemy + self.unit_type_bits
        of_ally = 4 + self.obs_all_health * ally + self.unit_type_bits + self.obs_last_action * self.n_actions
        own = (self.obs_own_health or self.obs_all_health) * ally + self.unit_type_bits + self.obs_timestep_number
        place = 4 + 8 * self.obs_pathing_grid + 9 * self.obs_terrain_height
        return place + self.n_enemies * of_enemy + (self.n_agents - 1) * of_ally + own

    def get_state(self) -> np.ndarray:
        if self.obs_instead_of_state:
            return np.concatenate(self.get_obs()).astype(np.float32)
        parts = []
        for unit in [*self.agents.values(), *self.enemies.values()]:
            part = np.concatenate([self._strength_of(unit), [unit.pos.x / MAP_SIZE, unit.pos.y / MAP_SIZE]])
            parts.append(part if unit.health > 0 else np.zeros_like(part))
        if self.state_last_action:
            parts.append(self.last_action.reshape(-1))
        if self.state_timestep_number:
            parts.append(np.array([self._episode_steps / self.episode_limit]))
        return np.concatenate(parts).astype(np.float32)

    def get_state_size(self) -> int:
        if self.obs_instead_of_state:
            return self.get_obs_size() * self.n_agents
        size = self.n_agents * (3 + self.shield_bits_ally) + self.n_enemies * (3 + self.shield_bits_enemy)
        return size + self.state_last_action * self.n_agents * self.n_actions + self.state_timestep_number

    def get_avail_actions(self) -> list[list[int]]:
        return [self.get_avail_agent_actions(agent) for agent in range(self.n_agents)]

    def get_avail_agent_actions(self, agent_id: int) -> list[int]:
        unit = self.agents[agent_id]
        available = [0] * self.n_actions
        if unit.health <= 0:
            available[0] = 1
            return available
        available[1] = 1
        for action, (x, y) in MOVES.items():
            column, row = int(unit.pos.x + x * self.move_amount / 2), int(unit.pos.y + y * self.move_amount / 2)
            inside = 0 <= column < self.map_x and 0 <= row < self.map_y
            available[action] = int(inside and self.pathing_grid[column, row])
        for number, target in self._targets(unit).items():
            near = math.hypot(unit.pos.x - target.pos.x, unit.pos.y - target.pos.y) <= RANGE
            heals_medivac = unit.unit_type == target.unit_type == MEDIVAC
            if near and target.health > 0 and not heals_medivac:
                available[self.n_actions_no_attack + number] = 1
        return available

    def get_total_actions(self) -> int:
        return self.n_actions

    def get_stats(self) -> dict[str, float]:
        return {
            "battles_won": self.battles_won,
            "battles_game": self.battles_game,
            "battles_draw": self.timeouts,
            "win_rate": self.battles_won / self.battles_game,
            "timeouts": self.timeouts,
            "restarts": self.force_restarts,
        }

    def get_env_info(self) -> dict[str, Any]:
        return {
            "state_shape": self.get_state_size(),
            "obs_shape": self.get_obs_size(),
            "n_actions": self.get_total_actions(),
            "n_agents": self.n_agents,
            "episode_limit": self.episode_limit,
        }
