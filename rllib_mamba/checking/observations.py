"""Checks of observations, agent by agent."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from rllib_mamba.checking.evidence import Evidence
from rllib_mamba.checking.findings import Finding, Sightings, error, note, shown, warning
from rllib_mamba.teams.spaces import MASK_KEYS

LARGE = 100.0
"""Features beyond it, and beyond it times as large as others, are called out of scale."""


def observations_fit_their_space(evidence: Evidence) -> Iterator[Finding]:
    """Shapes, kinds and keys."""
    sightings = Sightings()
    for step, agent, observation in _observations(evidence):
        try:
            wrong = _misfit(evidence.observation_spaces[agent], observation)
        except (TypeError, ValueError) as failure:
            wrong = str(failure)
        if wrong:
            sightings.add(f"{step}, agent {agent!r}", f"the observation {shown(observation)} {wrong}")
    if sightings:
        yield error(
            str(sightings),
            "an observation of the shape, kind and keys that the agent's observation space says.",
            "change `observation_spaces`, or what reset() and step() return.",
        )


def observations_are_finite(evidence: Evidence) -> Iterator[Finding]:
    """NaN and infinity."""
    sightings = Sightings()
    for step, agent, observation in _observations(evidence):
        flat = evidence.flat(agent, observation)
        if flat is not None and not np.isfinite(flat).all():
            index = int(np.argmin(np.isfinite(flat)))
            sightings.add(f"{step}, agent {agent!r}", f"the observation holds {flat[index]} at index {index}")
    if sightings:
        yield error(str(sightings), "finite numbers.", "look for a division by zero, or a value that was never set.")


def observations_are_in_bounds(evidence: Evidence) -> Iterator[Finding]:
    """The bounds of Box spaces."""
    sightings = Sightings()
    for step, agent, observation in _observations(evidence):
        for space, value in _boxes(evidence.observation_spaces[agent], observation):
            array = np.asarray(value)
            outside = ((array < space.low) | (array > space.high)).reshape(-1)
            if outside.any():
                index = int(np.argmax(outside))
                what = f"{array.reshape(-1)[index]} at index {index} is outside the bounds "
                what += f"{space.low.reshape(-1)[index]} to {space.high.reshape(-1)[index]}"
                sightings.add(f"{step}, agent {agent!r}", what)
    if sightings:
        yield warning(
            str(sightings),
            "values within the bounds of the Box; connectors that normalise by them rely on it.",
            "widen the bounds (-inf and inf are allowed), or clip the observation.",
        )


def observations_have_their_dtype(evidence: Evidence) -> Iterator[Finding]:
    """The dtype of Box spaces."""
    sightings = Sightings()
    for step, agent, observation in _observations(evidence):
        for space, value in _boxes(evidence.observation_spaces[agent], observation):
            given = value.dtype if isinstance(value, np.ndarray | np.generic) else None
            if given is None or not np.can_cast(given, space.dtype):
                kind = f"dtype {given}" if given is not None else f"a {type(value).__name__}"
                sightings.add(f"{step}, agent {agent!r}", f"the observation is {kind}, its space {space.dtype}")
    if sightings:
        yield warning(
            str(sightings),
            "arrays of the space's dtype; others are converted at every step, or refused by RLlib's connectors.",
            "return arrays made with the space's dtype, such as `np.array(values, np.float32)`.",
        )


def observations_stay_as_they_were(evidence: Evidence) -> Iterator[Finding]:
    """Arrays that an environment fills anew at each step although it has handed them out."""
    sightings = Sightings()
    for episode in evidence.episodes:
        for step, agent in episode.changed_later:
            sightings.add(step.place, f"the observation of agent {agent!r} changed when the next step was made")
    if sightings:
        yield warning(
            str(sightings),
            "a new array at each step: whoever keeps an observation sees it change afterwards.",
            "return `array.copy()`, or make a new array at each step.",
        )


def features_are_of_one_scale(evidence: Evidence) -> Iterator[Finding]:
    """Features next to which the others vanish."""
    largest: dict[Hashable, np.ndarray] = {}
    for _, agent, observation in _observations(evidence):
        flat = evidence.flat(agent, observation)
        if flat is not None and np.isfinite(flat).all():
            largest[agent] = np.maximum(largest.get(agent, 0.0), np.abs(flat))
    for agent, features in largest.items():
        used = features[features > 0]
        if used.size > 1 and used.max() > LARGE and used.max() > LARGE * np.median(used):
            yield note(
                f"feature {int(features.argmax())} of agent {agent!r} reaches {used.max():.4g}, half of the others "
                f"{np.median(used):.4g} or less.",
                "features of about the same size, near 1: networks and the world model's reconstruction attend to the "
                "largest.",
                "scale features in the environment.",
            )
            return


def _observations(evidence: Evidence) -> Iterator[tuple[str, Hashable, Any]]:
    for step in evidence.steps:
        for agent, observation in step.observations.items():
            if agent in evidence.observation_spaces and agent not in step.gone:
                yield step.place, agent, observation


def _misfit(space: Any, value: Any) -> str:
    """What does not fit, Box spaces left to the checks of bounds and dtype; empty where all does."""
    if isinstance(space, gym.spaces.Dict):
        if not isinstance(value, Mapping) or value.keys() != space.spaces.keys():
            keys = list(value) if isinstance(value, Mapping) else type(value).__name__
            return f"has {keys} where the space has the keys {list(space.spaces)}"
        parts = [(part, value[key]) for key, part in space.spaces.items() if key not in MASK_KEYS]
        return next((wrong for part, inner in parts if (wrong := _misfit(part, inner))), "")
    if isinstance(space, gym.spaces.Tuple):
        if not isinstance(value, tuple | list) or len(value) != len(space.spaces):
            return f"is no tuple of {len(space.spaces)}"
        pairs = zip(space.spaces, value, strict=True)
        return next((wrong for part, inner in pairs if (wrong := _misfit(part, inner))), "")
    if isinstance(space, gym.spaces.Box):
        shape = np.shape(value)
        return "" if shape == space.shape else f"has the shape {shape}, its space {space.shape}"
    if space is None or space.contains(value):
        return ""
    return f"has {shown(value)}, which is not in {shown(space)}"


def _boxes(space: Any, value: Any) -> Iterator[tuple[gym.spaces.Box, Any]]:
    """The Box parts of a space whose values have the right shape, without masks."""
    if isinstance(space, gym.spaces.Dict) and isinstance(value, Mapping):
        for key, part in space.spaces.items():
            if key in value and key not in MASK_KEYS:
                yield from _boxes(part, value[key])
    elif isinstance(space, gym.spaces.Tuple) and isinstance(value, tuple | list):
        for part, inner in zip(space.spaces, value, strict=False):
            yield from _boxes(part, inner)
    elif isinstance(space, gym.spaces.Box):
        array = np.asarray(value)
        if array.shape == space.shape and array.dtype.kind in "biuf":
            yield space, value
