"""Settings of a SMAX environment, checked when they are made."""

import dataclasses
import difflib
import math
from collections.abc import Mapping
from typing import Any

ATTACK_MODES = ("closest", "random")
OBSERVATION_TYPES = ("unit_list", "conic")


@dataclasses.dataclass(frozen=True)
class SMAXSettings:
    """Options of `SMAXEnv`; the defaults are jaxmarl's.

    Raises:
        ValueError: an option is out of its range.
        TypeError: an option has the wrong type.
    """

    scenario: str = "3m"
    """Name of the battle: one of jaxmarl's, or one given to its `register_scenario`."""
    max_steps: int = 100
    """Steps after which a battle is cut, at least 1."""
    enemy_shoots: bool = True
    """Whether the enemy ever attacks."""
    attack_mode: str = "closest"
    """Which unit in range an enemy attacks: the `closest` or a `random` one, until either is dead or out of range."""
    observation_type: str = "unit_list"
    """`unit_list`: a place for every other unit. `conic`: two places in each of 32 sectors around the unit."""
    see_enemy_actions: bool = True
    """Whether units see what visible enemies did last."""
    one_hot_targets: bool = False
    """Whom a unit attacked last as a one-hot (`TargetEncoder`) in place of one number; with `unit_list` only."""
    walls_cause_death: bool = True
    """Whether units die at the edge of the map."""
    won_battle_bonus: float = 1.0
    """Reward for a battle won; the damage done to all enemies comes to at least another 1."""
    use_self_play_reward: bool = False
    """Reward only the outcome: `won_battle_bonus` for a battle won, its negative for one lost."""
    world_steps_per_env_step: int = 8
    """Steps of the simulation with the same action, at least 1."""
    time_per_step: float = 1 / 16
    """Seconds of a step of the simulation, above 0."""
    map_width: int = 32
    """Width of the map, at least 8 (a marine sees 9 far)."""
    map_height: int = 32
    """Height of the map, at least 8."""
    seed: int | None = None
    """Seed of the battles; None: different ones each time."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            self._check_type(field.name, getattr(self, field.name))
        self._check_at_least("max_steps", 1)
        self._check_at_least("world_steps_per_env_step", 1)
        self._check_at_least("map_width", 8)
        self._check_at_least("map_height", 8)
        self._check_one_of("attack_mode", ATTACK_MODES)
        self._check_one_of("observation_type", OBSERVATION_TYPES)
        if self.one_hot_targets and self.observation_type != "unit_list":
            raise ValueError(
                f"one_hot_targets needs observation_type='unit_list', got {self.observation_type!r}: the sectors of a "
                "conic observation have no fixed places for units"
            )
        if self.time_per_step <= 0:
            raise ValueError(f"time_per_step must be above 0, got {self.time_per_step}")
        if self.seed is not None:
            self._check_at_least("seed", 0)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "SMAXSettings":
        """Settings from an `env_config`.

        Raises:
            ValueError: an unknown key (the nearest one is named) or a value out of range.
            TypeError: a value of the wrong type.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        for key in config:
            if key not in names:
                nearest = difflib.get_close_matches(str(key), names, n=1)
                hint = f"did you mean {nearest[0]!r}?" if nearest else f"known are {', '.join(names)}"
                raise ValueError(f"unknown option {key!r} in the configuration of the SMAX environment: {hint}")
        return cls(**config)

    def _check_type(self, name: str, value: object) -> None:
        expected = type(self).__dataclass_fields__[name].type
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if expected is int and not (is_number and isinstance(value, int)):
            raise TypeError(f"{name} must be an integer, got {value!r}")
        if expected is float and not (is_number and math.isfinite(value)):  # type: ignore[arg-type]
            raise TypeError(f"{name} must be a finite number, got {value!r}")
        if expected is bool and not isinstance(value, bool):
            raise TypeError(f"{name} must be True or False, got {value!r}")
        if expected is str and not isinstance(value, str):
            raise TypeError(f"{name} must be a name, got {value!r}")
        if name == "seed" and value is not None and not (is_number and isinstance(value, int)):
            raise TypeError(f"seed must be an integer or None, got {value!r}")

    def _check_at_least(self, name: str, minimum: int) -> None:
        if getattr(self, name) < minimum:
            raise ValueError(f"{name} must be at least {minimum}, got {getattr(self, name)}")

    def _check_one_of(self, name: str, known: tuple[str, ...]) -> None:
        if getattr(self, name) not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
