"""Checks of randomness: what a seed repeats, and what must not repeat itself."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

from rllib_mamba.checking.episodes import Episode, Player, first_difference
from rllib_mamba.checking.findings import Finding, note, warning

COMPARED_STEPS = 100
OTHER_SEEDS = 3
"""Seeds whose episodes must all be the same before the environment is said to ignore the seed."""

_EPISODES_TO_TELL_STREAMS_APART = 3
_STEPS_TO_TELL_STREAMS_APART = 20


def seeds_repeat_episodes(env: Any, other: Any, episode: Episode) -> Iterator[Finding]:
    """Whether a seed gives the same episode again, and another seed or none another one.

    Args:
        env: the environment of the episode.
        other: another instance made with the same settings.
        episode: an episode that began with a seed.
    """
    seed = episode.seed
    assert seed is not None
    difference = first_difference(env, seed, episode, COMPARED_STEPS)
    where = "with the same seed and the same actions once more"
    if difference is None:
        difference = first_difference(other, seed, episode, COMPARED_STEPS)
        where = "with the same seed and the same actions in a second environment of the same settings"
    if difference is not None:
        yield warning(
            f"{where}, {difference}.",
            "the same episode whenever reset(seed=...) is given the same seed; otherwise no run and no evaluation can "
            "be repeated.",
            "draw everything from `self.np_random` after `super().reset(seed=seed)`, or from a generator made of the "
            "seed; not from `random`, `np.random` or sets of strings.",
        )
        return
    seeds_matter = any(
        first_difference(env, seed + more, episode, COMPARED_STEPS) is not None for more in range(1, OTHER_SEEDS + 1)
    )
    unseeded_differ = any(first_difference(env, None, episode, COMPARED_STEPS) is not None for _ in range(OTHER_SEEDS))
    if not seeds_matter and not unseeded_differ:
        yield note(
            "every episode is the same under the same actions, whatever the seed.",
            "a game without chance is fine; otherwise a policy learns one episode by heart.",
            "draw what should differ from `self.np_random`.",
        )
    elif not seeds_matter:
        yield warning(
            f"the seeds {seed} to {seed + OTHER_SEEDS} all give the same episode; without a seed they differ.",
            "other episodes with other seeds; evaluations count on it.",
            "use the seed that reset() is given.",
        )


def seeds_show_early(env: Any, episode: Episode) -> bool:
    """Whether a few steps are enough to tell seeds apart, as the checks of streams need it."""
    assert episode.seed is not None
    return all(
        first_difference(env, episode.seed + more, episode, _STEPS_TO_TELL_STREAMS_APART) is not None
        for more in range(1, OTHER_SEEDS + 1)
    )


def episodes_differ_without_a_seed(env: Any, action_spaces: Mapping[Hashable, Any], seed: int) -> Iterator[Finding]:
    """Whether episodes that follow one another without a seed differ."""
    first = Player(env, action_spaces, seed).play(0, None, _STEPS_TO_TELL_STREAMS_APART)
    again = (
        first_difference(env, None, first, _STEPS_TO_TELL_STREAMS_APART)
        for _ in range(_EPISODES_TO_TELL_STREAMS_APART - 1)
    )
    if first.failure is None and all(difference is None for difference in again):
        yield warning(
            f"{_EPISODES_TO_TELL_STREAMS_APART} episodes in a row without a seed are the same.",
            "another episode at each reset() without a seed; RLlib gives a seed at the very first one only.",
            "seed the generator where a seed is given, and let it go on otherwise.",
        )


def first_episodes(env: Any, action_spaces: Mapping[Hashable, Any], seed: int) -> list[Episode]:
    """The beginnings of the first episodes of a new environment, without a seed."""
    player = Player(env, action_spaces, seed)
    count = _EPISODES_TO_TELL_STREAMS_APART
    return [player.play(number, None, _STEPS_TO_TELL_STREAMS_APART) for number in range(count)]


def environments_differ(first: list[Episode], other: Any, index: str) -> Iterator[Finding]:
    """Whether environments that train side by side without a seed see different episodes.

    Args:
        first: the first episodes of an environment.
        other: a new one of the same settings but another index.
        index: the name of the index, "worker_index" or "vector_index".
    """
    if all(first_difference(other, None, episode, _STEPS_TO_TELL_STREAMS_APART) is None for episode in first):
        yield warning(
            f"environments that differ only in their {index} begin with the same episodes.",
            "episodes of its own for every environment of every env runner, with a seed in the `env_config` too.",
            f"make the generator of the seed and `config.{index}`: "
            "`np.random.default_rng([seed, config.worker_index, config.vector_index])`.",
        )
