"""Settings of a SMAC environment: its own, and the arguments of `StarCraft2Env`, checked when they are made."""

import copy
import dataclasses
import difflib
import math
from collections.abc import Iterable, Mapping
from typing import Any

from rllib_mamba.envs.smac.importing import StarCraftPackage

_DIFFICULTIES = tuple("123456789A")


@dataclasses.dataclass(frozen=True)
class SMACSettings:
    """Options of `SMACEnv`: those below, and every argument of the installed package's `StarCraft2Env`.

    Raises:
        ValueError: an option is out of its range.
        TypeError: an option has the wrong type.
    """

    game: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Arguments of `StarCraft2Env`; in an `env_config` they stand beside the others."""
    max_crashes_in_a_row: int = 5
    """Crashes of the game without a finished battle between them that end the run, at least 1."""
    replay_interval: int = 0
    """Battles from one saved replay to the next, at least 0; 0: none is saved. See `replay_dir`."""

    def __post_init__(self) -> None:
        _check_integer("max_crashes_in_a_row", self.max_crashes_in_a_row, 1)
        _check_integer("replay_interval", self.replay_interval, 0)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], package: StarCraftPackage) -> "SMACSettings":
        """Settings from an `env_config`.

        Raises:
            ValueError: an unknown key or map (the nearest one is named) or a value out of range.
            TypeError: a value of the wrong type.
        """
        own = {field.name for field in dataclasses.fields(cls)} - {"game"}
        for key in config:
            if key not in own and key not in package.defaults:
                hint = _nearest(str(key), [*own, *package.defaults])
                raise ValueError(f"unknown option {key!r} in the configuration of the SMAC environment: {hint}")
        game = {key: copy.deepcopy(value) for key, value in config.items() if key not in own}
        for key, value in game.items():
            _check_argument(key, value, package.defaults[key])
        map_name = game.get("map_name", package.defaults["map_name"])
        if map_name not in package.maps:
            hint = _nearest(str(map_name), sorted(package.maps))
            raise ValueError(
                f"{package.name} has no map {map_name!r}: {hint}"
                + (" (those of SMACv2 need the option capability_config)" if package.name == "smac" else "")
            )
        return cls(game, **{key: value for key, value in config.items() if key in own})

    @property
    def seed(self) -> int | None:
        """Seed of the first game; None: the games choose."""
        return self.game.get("seed")


def _check_argument(name: str, value: Any, default: Any) -> None:
    if name == "seed":
        if value is not None:
            _check_integer(name, value, 0)
    elif name == "difficulty":
        if value not in _DIFFICULTIES:
            raise ValueError(f"difficulty must be one of {', '.join(map(repr, _DIFFICULTIES))}, got {value!r}")
    elif isinstance(default, bool):
        if not isinstance(value, bool):
            raise TypeError(f"{name} must be True or False, got {value!r}")
    elif isinstance(default, int | float):
        # A step_mul of None stands for that of the map.
        if value is not None and not (_is_number(value) and math.isfinite(value)):
            raise TypeError(f"{name} must be a finite number, got {value!r}")
    elif isinstance(default, str) and not isinstance(value, str):
        raise TypeError(f"{name} must be a string, got {value!r}")


def _check_integer(name: str, value: Any, minimum: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _nearest(name: str, known: Iterable[str]) -> str:
    known = list(known)
    nearest = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {nearest[0]!r}?" if nearest else f"known are {', '.join(known)}"
