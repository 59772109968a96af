"""Draws teams for every battle."""

import random
from typing import Any

import numpy as np

from smacv2.env.starcraft2.starcraft2 import CannotResetException, StarCraft2Env


class WeightedTeams:
    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.rng = np.random.default_rng()

    def generate(self) -> dict[str, Any]:
        team = list(self.rng.choice(self.config["unit_types"], self.config["n_units"], p=self.config["weights"]))
        random.shuffle(team)
        enemies = [*team, *["marine"] * self.config["n_enemies"]][: self.config["n_enemies"]]
        return {self.config["env_key"]: {"ally_team": team, "enemy_team": enemies, "id": 0}}


class StarCraftCapabilityEnvWrapper:
    """Its `reset` gives nothing at all where it had to be tried twice."""

    def __init__(self, **kwargs: Any) -> None:
        self.distribution_config = kwargs["capability_config"]
        self.env_key_to_distribution_map = {}
        for key, config in self.distribution_config.items():
            if key in ("n_units", "n_enemies"):
                continue
            config["env_key"] = key
            config["n_units"] = self.distribution_config["n_units"]
            config["n_enemies"] = self.distribution_config["n_enemies"]
            self.env_key_to_distribution_map[key] = WeightedTeams(config)
        self.env = StarCraft2Env(**kwargs)

    def reset(self) -> Any:
        try:
            drawn = {}
            for distribution in self.env_key_to_distribution_map.values():
                drawn |= distribution.generate()
            return self.env.reset(drawn)
        except CannotResetException:
            self.reset()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.env, name)
