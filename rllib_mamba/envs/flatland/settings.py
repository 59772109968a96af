"""Settings of a Flatland environment, checked when they are made."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from rllib_mamba.envs.flatland.checks import check_names, is_integer, is_number
from rllib_mamba.envs.flatland.launchers import ALL_AT_ONCE, LAUNCHERS, WINDOW_LAUNCHERS
from rllib_mamba.envs.flatland.observers import FEATURES, OBSERVATIONS, observation_size
from rllib_mamba.envs.flatland.rewards import PAPER_REWARDS, UNREACHABLE_DISTANCE, check_rewards
from rllib_mamba.envs.flatland.windows import WindowOption, check_window, window_size

FIXED_OPTIONS = frozenset(
    {"max_number_of_trains", "observation", "tree_depth", "scaled_features", "action_masks", "seed"}
)
"""Options that no task can change."""

_CITY_PADDING = 3
_WHERE = "of the Flatland environment"


@dataclasses.dataclass(frozen=True)
class FlatlandSettings:
    """Options of `FlatlandEnv`; the defaults are the five-train map of the MAMBA paper (arXiv 2205.15023).

    Raises:
        ValueError: an option is out of its range, does not go with another, or the cities do not fit on the map.
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
    rewards: Mapping[str, float] = dataclasses.field(default_factory=lambda: dict(PAPER_REWARDS))
    """Name of a reward -> its weight, all of them added up; the names are in `rewards.py`."""
    unreachable_distance: float = UNREACHABLE_DISTANCE
    """Cells counted for a target that cannot be reached any more, at least 1: a train that gets there pays the progress
    reward of the difference."""
    launcher: str = ALL_AT_ONCE
    """Who may depart when, by name (see `launchers.py`). With `flatland_timetable` departures and the step limit are
    Flatland's own; with all others the episode stops after 8 * (width + height + trains / cities) steps."""
    window: WindowOption | None = None
    """Trains that may be under way at once, for the launchers `shortest_path_first` and `network_load` (see
    `windows.py`)."""
    observation: str = FEATURES
    """What a train observes, by name (see `observers.py`)."""
    tree_depth: int = 3
    """Levels of branches ahead that a train observes, 1 to 3. Of the features: 37, 93 or the paper's 205 numbers; of
    `flatland_tree`: 60, 252 or 1020; the other observations have no tree."""
    scaled_features: bool = False
    """Give distances in the features on scales near 1 (see `scaling.py`) instead of the paper's."""
    action_masks: bool = False
    """Tell each train, as `action_mask` in its info, which of the three actions make a difference: only going on where
    that is forced or nothing does, no second branch where there is none. The paper has no masks."""
    seed: int | None = None
    """Seed of the maps, breakdowns and tags; None: a different one each time."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            self._check_type(field.name, getattr(self, field.name))
        check_rewards(self.rewards)
        # Settings stay what they are, whatever the user does with the mapping.
        object.__setattr__(self, "rewards", dict(self.rewards))
        self._check_ranges()
        self._check_launcher()
        self._check_that_cities_fit()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "FlatlandSettings":
        """Settings from an `env_config`.

        Raises:
            ValueError: an unknown key (the nearest one is named) or a value out of range.
            TypeError: a value of the wrong type.
        """
        check_names(config, [field.name for field in dataclasses.fields(cls)], f"option {_WHERE}")
        return cls(**config)

    def with_task(self, task: Mapping[str, Any]) -> "FlatlandSettings":
        """These settings with those of a task in place of them.

        Raises:
            ValueError: an unknown key, a value out of range, or an option that is fixed for the life of an environment.
            TypeError: a value of the wrong type.
        """
        check_names(task, [field.name for field in dataclasses.fields(self)], f"option {_WHERE}")
        fixed = sorted(FIXED_OPTIONS & task.keys())
        if fixed:
            raise ValueError(
                f"a task cannot change {', '.join(fixed)}, as all episodes have the same: give it in the configuration "
                "of the environment"
            )
        settings = dataclasses.replace(self, max_number_of_trains=self.number_of_agents, **task)
        if settings.observation_size != self.observation_size:
            raise ValueError(
                f"a task cannot change what agents observe: with {dict(task)} the observation {self.observation!r} "
                f"would have {settings.observation_size} numbers instead of {self.observation_size}"
            )
        return settings

    @property
    def number_of_agents(self) -> int:
        """Trains that there may be in an episode."""
        return self.number_of_trains if self.max_number_of_trains is None else self.max_number_of_trains

    @property
    def observation_size(self) -> int:
        """Numbers that a train observes."""
        return observation_size(self.observation, self.tree_depth, self.width, self.height)

    @property
    def episode_limit(self) -> int:
        """Steps after which an episode stops, unless it follows Flatland's timetable."""
        return int(8 * (self.width + self.height + self.number_of_trains / self.number_of_cities))

    @property
    def window_size(self) -> int | None:
        """Trains that may be under way at once; None where the launcher has no window."""
        if self.window is None:
            return None
        return window_size(self.window, self.number_of_trains, self.width, self.height)

    def _check_type(self, name: str, value: object) -> None:
        expected = type(self).__dataclass_fields__[name].type
        if expected is int and not is_integer(value):
            raise TypeError(f"{name} must be an integer, got {value!r}")
        if expected is float and not is_number(value):
            raise TypeError(f"{name} must be a finite number, got {value!r}")
        if expected is bool and not isinstance(value, bool):
            raise TypeError(f"{name} must be True or False, got {value!r}")
        if expected == int | None and value is not None and not is_integer(value):
            raise TypeError(f"{name} must be an integer or None, got {value!r}")

    def _check_ranges(self) -> None:
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
        if self.max_malfunction_duration < self.min_malfunction_duration:
            raise ValueError(
                f"max_malfunction_duration must be at least min_malfunction_duration "
                f"({self.min_malfunction_duration}), got {self.max_malfunction_duration}"
            )
        self._check_at_least("unreachable_distance", 1)
        check_names([self.observation], OBSERVATIONS, "observation")
        if self.tree_depth not in (1, 2, 3):
            raise ValueError(f"tree_depth must be 1, 2 or 3, got {self.tree_depth}")
        if self.scaled_features and self.observation != FEATURES:
            raise ValueError(f"scaled_features is for the observation {FEATURES!r}, not {self.observation!r}")
        if self.seed is not None and self.seed < 0:
            raise ValueError(f"seed must be None or at least 0, got {self.seed}")

    def _check_at_least(self, name: str, minimum: int) -> None:
        if getattr(self, name) < minimum:
            raise ValueError(f"{name} must be at least {minimum}, got {getattr(self, name)}")

    def _check_launcher(self) -> None:
        check_names([self.launcher], LAUNCHERS, "launcher")
        if self.launcher in WINDOW_LAUNCHERS:
            if self.window is None:
                raise ValueError(f"the launcher {self.launcher!r} needs a window, for example window=3")
            check_window(self.window)
        elif self.window is not None:
            raise ValueError(
                f"the launcher {self.launcher!r} has no window, got {self.window!r}: leave it at None, or choose "
                f"{' or '.join(repr(name) for name in WINDOW_LAUNCHERS)}"
            )

    def _check_that_cities_fit(self) -> None:
        city_size = 2 * (self.max_rail_pairs_in_city + _CITY_PADDING)
        room = max(self.height - 2, 0) // city_size * (max(self.width - 2, 0) // city_size)
        if room < self.number_of_cities:
            raise ValueError(
                f"{self.number_of_cities} cities with max_rail_pairs_in_city={self.max_rail_pairs_in_city} do not fit "
                f"on a map of {self.height} rows and {self.width} columns (room for {room}): make the map larger or "
                "ask for fewer cities or fewer rail pairs"
            )
