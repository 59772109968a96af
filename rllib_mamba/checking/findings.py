"""What a check finds, in words for the person who wrote the environment."""

from __future__ import annotations

import reprlib
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import gymnasium as gym
import numpy as np

_AGENTS_NAMED = 3
_LONGEST_VALUE = 80


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    """Training stops with an error, or learns from something that does not mean what it should."""
    WARNING = "warning"
    """Training runs, but worse than it could, or not reproducibly."""
    NOTE = "note"
    """Worth knowing; may well be meant."""


class Concerns(StrEnum):
    """Which algorithms a finding is about."""

    ALL = "every algorithm"
    TEAMS = "MAMBA, MAPPO and QMIX"
    RLLIB = "PPO and the other algorithms of RLlib"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: what was seen, what is expected, and how to mend it, each a sentence or two."""

    severity: Severity
    seen: str
    expected: str
    remedy: str
    concerns: Concerns = Concerns.ALL
    check: str = ""
    """The name of the check that found it."""


def error(seen: str, expected: str, remedy: str, concerns: Concerns = Concerns.ALL) -> Finding:
    """A finding that keeps an environment from being trained on."""
    return Finding(Severity.ERROR, seen, expected, remedy, concerns)


def warning(seen: str, expected: str, remedy: str, concerns: Concerns = Concerns.ALL) -> Finding:
    """A finding that makes training worse."""
    return Finding(Severity.WARNING, seen, expected, remedy, concerns)


def note(seen: str, expected: str, remedy: str, concerns: Concerns = Concerns.ALL) -> Finding:
    """A finding that may be meant."""
    return Finding(Severity.NOTE, seen, expected, remedy, concerns)


class Sightings:
    """Collects the places where the same thing was seen; true once there is one."""

    def __init__(self) -> None:
        self._first = ""
        self._count = 0

    def add(self, place: str, what: str) -> None:
        """Adds a place ("episode 1, step 3") and what was seen there."""
        if not self._count:
            self._first = f"{place}: {what}"
        self._count += 1

    def __bool__(self) -> bool:
        return self._count > 0

    def __str__(self) -> str:
        """The first place, and how many more there are."""
        more = self._count - 1
        return f"{self._first}." if not more else f"{self._first} (and {more} time{'s' * (more > 1)} more)."


def named(agents: Iterable[Hashable]) -> str:
    """The ids of agents for a sentence, the first few of many."""
    listed: Sequence[Hashable] = list(agents)
    shown = ", ".join(repr(agent) for agent in listed[:_AGENTS_NAMED])
    rest = len(listed) - _AGENTS_NAMED
    return f"{shown} and {rest} more" if rest > 0 else shown


def shown(value: Any) -> str:
    """A value for a sentence, shortened, on one line."""
    if isinstance(value, np.ndarray):
        text = np.array2string(value, precision=4, threshold=8, edgeitems=3, separator=", ")
    elif isinstance(value, gym.Space):
        text = str(value)
    else:
        text = reprlib.repr(value)
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 4] + " ..."
