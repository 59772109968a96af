"""Checks of options one by one, each with an error that names the option, its value and what was expected."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Interval(NamedTuple):
    """The numbers from `low` to `high`, without an end that is open; an infinite end is always open."""

    low: float
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    def __contains__(self, value: Any) -> bool:
        """Whether `value` is a finite number in it."""
        return (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and math.isfinite(value)
            and (value > self.low if self.low_open else value >= self.low)
            and (value < self.high if self.high_open else value <= self.high)
        )

    def __str__(self) -> str:
        right = ")" if self.high_open or math.isinf(self.high) else "]"
        return f"{'(' if self.low_open else '['}{self.low:g}, {self.high:g}{right}"


@dataclass(frozen=True)
class Ranges:
    """The range of every option of an algorithm.

    Args:
        least_integers: Option -> the least value of an integer.
        intervals: Option -> the interval of a number.
        schedules: Option -> the interval of a number or of the values of a schedule [[env step, value], ...].
        clips: Options that are above 0, or None.
        flags: Options that are True or False.
        choices: Option -> its values.
    """

    least_integers: Mapping[str, int] = field(default_factory=dict)
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    schedules: Mapping[str, Interval] = field(default_factory=dict)
    clips: Sequence[str] = ()
    flags: Sequence[str] = ()
    choices: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def check(self, config: Any) -> None:
        """Checks the options of a configuration.

        Raises:
            ValueError: One is out of range; the message names it, its value and what was expected.
        """
        for name, least in self.least_integers.items():
            value = getattr(config, name)
            whole = isinstance(value, int) and not isinstance(value, bool) and value >= least
            require(whole, name, value, f"an integer of at least {least}")
        for name, interval in self.intervals.items():
            value = getattr(config, name)
            require(value in interval, name, value, f"a number in {interval}")
        for name, interval in self.schedules.items():
            value = getattr(config, name)
            sign = "positive number" if interval.low_open else "number of at least 0"
            expected = f"a {sign} or a schedule [[env step, value], ...] from step 0 on"
            require(_is_schedule(value, interval), name, value, expected)
        for name in self.clips:
            value = getattr(config, name)
            require(value is None or (isinstance(value, int | float) and value > 0), name, value, "above 0, or None")
        for name in self.flags:
            value = getattr(config, name)
            require(isinstance(value, bool), name, value, "True or False")
        for name, choices in self.choices.items():
            value = getattr(config, name)
            require(value in choices, name, value, f"one of {', '.join(map(repr, choices))}")


#: Above 0: learning rates, clips.
POSITIVE = Interval(0.0, low_open=True)
#: At least 0: weights of losses.
NOT_NEGATIVE = Interval(0.0)


def require(condition: bool, name: str, value: Any, expected: str) -> None:
    """Makes sure of a condition on an option.

    Raises:
        ValueError: It does not hold.
    """
    if not condition:
        raise ValueError(f"{name}={value!r} is out of range: expected {expected}.")


def _is_schedule(value: Any, interval: Interval) -> bool:
    if isinstance(value, list | tuple):
        return len(value) > 0 and all(len(point) == 2 and point[1] in interval for point in value) and value[0][0] == 0
    return value in interval
