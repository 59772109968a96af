"""Settings of a Flatland environment, checked when they are made, and the named maps."""

import dataclasses
import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any

ALL_AT_ONCE = "all_at_once"
FLATLAND_TIMETABLE = "flatland"
TIMETABLES = (ALL_AT_ONCE, FLATLAND_TIMETABLE)

FIXED_OPTIONS = frozenset({"max_number_of_trains", "tree_depth", "scaled_features", "action_masks", "seed"})
"""Options that no task can change."""

_CITY_PADDING = 3


@dataclasses.dataclass(frozen=True)
class FlatlandSettings:
    """Options of `FlatlandEnv`; the defaults are the five-train map of the MAMBA paper (arXiv 2205.15023).

    Raises:
        ValueError: an option is out of its range, or the cities do not fit on the map.
        TypeError: an option has the wrong type.
    """

    number_of_trains: int = 5
    """Trains, at least 1."""
    max_number_of_trains: int | None = None
    """Most trains of any episode, for which there are agents; None: `number_of_trains`. Those beyond the number of an
    episode (see `FlatlandEnv.set_task`) do not appear in it."""
    width: int = 35
    """Columns of the map."""
    height: int = 35
    """Rows of the map."""
    number_of_cities: int = 3
    """Cities to place, at least 2. Flatland may place fewer on a crowded map."""
    max_rails_between_cities: int = 2
    """Most rails that leave a city on one side, at least 1."""
    max_rail_pairs_in_city: int = 2
    """Most pairs of parallel tracks in a city, at least 1."""
    malfunction_rate: float = 1 / 100
    """Mean number of breakdowns of a train per step, at least 0."""
    min_malfunction_duration: int = 20
    """Shortest breakdown in steps, at least 1."""
    max_malfunction_duration: int = 50
    """Longest breakdown in steps."""
    finish_reward: float = 10.0
    """Reward of a train when it arrives."""
    progress_reward: float = 0.01
    """Reward for every cell by which a train comes closer to its target."""
    unreachable_distance: float = 1000.0
    """Cells counted for a target that cannot be reached any more, at least 1: a train that gets there pays the progress
    reward of the difference."""
    deadlock_reward: float = -5.0
    """Reward of a train when it is deadlocked."""
    timetable: str = ALL_AT_ONCE
    """`all_at_once`: every train may depart at once, and the episode stops after
    8 * (width + height + trains / cities) steps. `flatland`: Flatland's own departures and episode limit."""
    tree_depth: int = 3
    """Levels of branches ahead that a train observes, 1 to 3: 37, 93 or the paper's 205 features."""
    scaled_features: bool = False
    """Give distances in the observation on scales near 1 (see `scaling.py`) instead of the paper's."""
    action_masks: bool = False
    """Tell each train, as `action_mask` in its info, which of the three actions make a difference: only going on where
    that is forced, no second branch where there is none. The paper has no masks."""
    seed: int | None = None
    """Seed of the maps, breakdowns and tags; None: a different one each time."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            self._check_type(field.name, getattr(self, field.name))
        self._check_at_least("number_of_trains", 1)
        if self.number_of_trains > self.number_of_agents:
            raise ValueError(
                f"number_of_trains must be at most max_number_of_trains ({self.max_number_of_trains}), got "
                f"{self.number_of_trains}"
            )
        self._check_at_least("number_of_cities", 2)
        self._check_at_least("max_rails_between_cities", 1)
        self._check_at_least("max_rail_pairs_in_city", 1)
        self._check_at_least("malfunction_rate", 0)
        self._check_at_least("min_malfunction_duration", 1)
        if self.tree_depth not in (1, 2, 3):
            raise ValueError(f"tree_depth must be 1, 2 or 3, got {self.tree_depth}")
        self._check_at_least("unreachable_distance", 1)
        if self.max_malfunction_duration < self.min_malfunction_duration:
            raise ValueError(
                f"max_malfunction_duration must be at least min_malfunction_duration "
                f"({self.min_malfunction_duration}), got {self.max_malfunction_duration}"
            )
        if self.timetable not in TIMETABLES:
            raise ValueError(f"timetable must be one of {', '.join(TIMETABLES)}, got {self.timetable!r}")
        if self.seed is not None and self.seed < 0:
            raise ValueError(f"seed must be None or at least 0, got {self.seed}")
        self._check_that_cities_fit()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "FlatlandSettings":
        """Settings from an `env_config`.

        Raises:
            ValueError: an unknown key (the nearest one is named) or a value out of range.
        """
        _check_names(config, [field.name for field in dataclasses.fields(cls)])
        return cls(**config)

    def with_task(self, task: Mapping[str, Any]) -> "FlatlandSettings":
        """These settings with those of a task in place of them.

        Raises:
            ValueError: an unknown key, a value out of range, or an option that is fixed for the life of an environment.
            TypeError: a value of the wrong type.
        """
        _check_names(task, [field.name for field in dataclasses.fields(self)])
        fixed = sorted(FIXED_OPTIONS & task.keys())
        if fixed:
            raise ValueError(
                f"a task cannot change {', '.join(fixed)}, which is the same in all episodes: give it in the configuration "
                "of the environment"
            )
        return dataclasses.replace(self, max_number_of_trains=self.number_of_agents, **task)

    @property
    def number_of_agents(self) -> int:
        """Trains that there may be in an episode."""
        return self.number_of_trains if self.max_number_of_trains is None else self.max_number_of_trains

    @property
    def observation_size(self) -> int:
        """Features that a train observes: nine of its own, fourteen for each of its 2, 6 or 14 branches."""
        return 9 + 14 * (2 ** (self.tree_depth + 1) - 2)

    @property
    def episode_limit(self) -> int:
        """Steps after which an episode stops when all trains start at once."""
        return int(8 * (self.width + self.height + self.number_of_trains / self.number_of_cities))

    def _check_type(self, name: str, value: object) -> None:
        expected = type(self).__dataclass_fields__[name].type
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if expected is int and not (is_number and isinstance(value, int)):
            raise TypeError(f"{name} must be an integer, got {value!r}")
        if expected is float and not (is_number and math.isfinite(value)):  # type: ignore[arg-type]
            raise TypeError(f"{name} must be a finite number, got {value!r}")
        if expected is bool and not isinstance(value, bool):
            raise TypeError(f"{name} must be True or False, got {value!r}")
        if expected == int | None and value is not None and not (is_number and isinstance(value, int)):
            raise TypeError(f"{name} must be an integer or None, got {value!r}")

    def _check_at_least(self, name: str, minimum: int) -> None:
        if getattr(self, name) < minimum:
            raise ValueError(f"{name} must be at least {minimum}, got {getattr(self, name)}")

    def _check_that_cities_fit(self) -> None:
        city_size = 2 * (self.max_rail_pairs_in_city + _CITY_PADDING)
        room = max(self.height - 2, 0) // city_size * (max(self.width - 2, 0) // city_size)
        if room < self.number_of_cities:
            raise ValueError(
                f"{self.number_of_cities} cities with max_rail_pairs_in_city={self.max_rail_pairs_in_city} do not fit "
                f"on a map of {self.height} rows and {self.width} columns (room for {room}): make the map larger or "
                "ask for fewer cities or fewer rail pairs"
            )


def _check_names(options: Mapping[str, Any], known: Sequence[str]) -> None:
    for name in options:
        if name not in known:
            nearest = difflib.get_close_matches(str(name), known, n=1)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"known are {', '.join(known)}"
            raise ValueError(f"unknown option {name!r} in the configuration of the Flatland environment: {hint}")


#: Named maps: options of `FlatlandSettings`. Those of 5, 10 and 20 trains are the MAMBA paper's.
PRESETS: dict[str, dict[str, Any]] = {
    "flatland_debug": {
        "number_of_trains": 3,
        "width": 22,
        "height": 22,
        "number_of_cities": 2,
        "max_rail_pairs_in_city": 1,
        "malfunction_rate": 1 / 50,
        "min_malfunction_duration": 2,
        "max_malfunction_duration": 5,
    },
    "flatland_5_agents": {
        "number_of_trains": 5,
        "width": 35,
        "height": 35,
        "number_of_cities": 3,
        "malfunction_rate": 1 / 100,
    },
    "flatland_10_agents": {
        "number_of_trains": 10,
        "width": 35,
        "height": 35,
        "number_of_cities": 4,
        "malfunction_rate": 1 / 150,
    },
    "flatland_20_agents": {
        "number_of_trains": 20,
        "width": 60,
        "height": 40,
        "number_of_cities": 6,
        "malfunction_rate": 1 / 200,
    },
}
