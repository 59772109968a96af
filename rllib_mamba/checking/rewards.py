"""Checks of rewards."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np

from rllib_mamba.checking.evidence import Evidence
from rllib_mamba.checking.findings import Concerns, Finding, Sightings, error, note, shown, warning

LARGE = 1000.0
"""Rewards beyond it are called large."""


def rewards_are_finite_numbers(evidence: Evidence) -> Iterator[Finding]:
    """NaN, infinity, None and text."""
    sightings = Sightings()
    for place, agent, reward in _rewards(evidence):
        if number(reward) is None:
            sightings.add(f"{place}, agent {agent!r}", f"the reward is {shown(reward)}")
    if sightings:
        yield error(str(sightings), "a finite number.", "return `float(...)` and look where the value comes from.")


def rewards_are_scalars(evidence: Evidence) -> Iterator[Finding]:
    """Arrays and truth values, which RLlib's check refuses."""
    sightings = Sightings()
    for place, agent, reward in _rewards(evidence):
        scalar = np.isscalar(reward) or (isinstance(reward, np.ndarray) and reward.shape == ())
        if number(reward) is not None and (isinstance(reward, bool) or not scalar):
            sightings.add(f"{place}, agent {agent!r}", f"the reward is {shown(reward)} of {type(reward).__name__}")
    if sightings:
        yield error(str(sightings), "an int or float.", "return `float(...)`.", Concerns.RLLIB)


def who_acts_is_rewarded(evidence: Evidence) -> Iterator[Finding]:
    """Agents that acted and see what came of it, but have no reward."""
    sightings = Sightings()
    for step in evidence.steps:
        for agent in step.actions:
            if agent in step.observations and agent not in step.rewards:
                sightings.add(step.place, f"agent {agent!r} acted and has an observation, but no reward")
    if sightings:
        yield error(
            str(sightings),
            "a reward for every agent that acted; MAMBA counts a missing one as 0, RLlib's episodes refuse it.",
            "return 0.0 where there is nothing to reward.",
            Concerns.RLLIB,
        )


def rewards_are_not_large(evidence: Evidence) -> Iterator[Finding]:
    """Rewards next to which losses grow out of proportion."""
    sightings = Sightings()
    for place, agent, reward in _rewards(evidence):
        value = number(reward)
        if value is not None and abs(value) > LARGE:
            sightings.add(f"{place}, agent {agent!r}", f"the reward is {value:g}")
    if sightings:
        yield warning(
            str(sightings),
            "rewards of a size near 1, and returns below about 100: the losses of reward and value grow with them.",
            "divide rewards by a constant.",
        )


def there_are_rewards(evidence: Evidence) -> Iterator[Finding]:
    """Rewards that random play never finds."""
    played = any(episode.length and not episode.failure for episode in evidence.episodes)
    if played and not any(number(reward) for _, _, reward in _rewards(evidence)):
        yield note(
            "no agent was ever rewarded with anything but 0.",
            "rewards that exploration finds at least now and then.",
            "reward progress towards the goal, or play more episodes (`--episodes`) to see how rare rewards are.",
        )


def number(reward: Any) -> float | None:
    """A reward as a float, or None where it is no finite number."""
    try:
        value = float(reward)
    except (TypeError, ValueError):
        return None
    return value if np.isfinite(value) else None


def _rewards(evidence: Evidence) -> Iterator[tuple[str, Hashable, Any]]:
    for step in evidence.steps:
        for agent, reward in step.rewards.items():
            if agent in evidence.agents:
                yield step.place, agent, reward
