"""Plays episodes with random legal actions and keeps everything that an environment gave."""

from __future__ import annotations

import copy
import inspect
import logging
import time
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np

from rllib_mamba.teams import columns
from rllib_mamba.teams.team_env import ALL

_logger = logging.getLogger(__name__)

_STEP_PARTS = ("observations", "rewards", "terminateds", "truncateds", "infos")


class MalformedResultError(ValueError):
    """`reset` or `step` returned something else than what RLlib's interface says."""


@dataclass(frozen=True)
class Step:
    """A call of `reset` (number 0) or `step`, and copies of what came back."""

    episode: int
    number: int
    actions: dict[Hashable, Any]
    observations: dict[Hashable, Any]
    rewards: dict[Hashable, Any]
    terminateds: dict[Hashable, Any]
    truncateds: dict[Hashable, Any]
    infos: dict[Hashable, Any]
    state: Any
    """The global state, as the environment gave it; None without one."""
    gone: frozenset[Hashable]
    """The agents that had ended in an earlier step."""

    @property
    def place(self) -> str:
        """Where this is, in words."""
        return f"episode {self.episode + 1}, " + (f"step {self.number}" if self.number else "reset")

    @property
    def ended(self) -> frozenset[Hashable]:
        """The agents that have ended, in this step or before."""
        flags = (self.terminateds, self.truncateds)
        now = {agent for part in flags for agent, flag in part.items() if flag and agent != ALL}
        return self.gone | now

    @property
    def over(self) -> bool:
        """Whether the environment says that the episode is over."""
        return bool(self.terminateds.get(ALL) or self.truncateds.get(ALL))

    @property
    def acting(self) -> list[Hashable]:
        """The agents that act on this step."""
        return [] if self.over else [agent for agent in self.observations if agent not in self.ended]

    def info(self, agent: Hashable) -> Mapping[str, Any]:
        """An agent's info, empty where there is none or it is no dictionary."""
        info = self.infos.get(agent)
        return info if isinstance(info, Mapping) else {}

    def mask(self, agent: Hashable, key: str) -> Any:
        """The action mask or communication mask of an agent, from its observation or info; None without one."""
        observation = self.observations.get(agent)
        given = observation.get(key) if isinstance(observation, Mapping) else None
        return self.info(agent).get(key, given)


@dataclass
class Episode:
    """An episode, or what there was of it when the limit was reached or the environment failed."""

    number: int
    seed: int | None
    steps: list[Step] = field(default_factory=list)
    failure: Exception | None = None
    """What was raised, or a `MalformedResultError`."""
    failed_call: str = ""
    """The call that failed, in words."""
    changed_later: list[tuple[Step, Hashable]] = field(default_factory=list)
    """Observations whose arrays changed during the next step."""
    reset_seconds: float = 0.0
    step_seconds: float = 0.0

    @property
    def length(self) -> int:
        """The number of steps played."""
        return max(0, len(self.steps) - 1)

    @property
    def over(self) -> bool:
        """Whether the environment ended it."""
        return bool(self.steps) and self.steps[-1].over

    @property
    def all_ended(self) -> bool:
        """Whether everybody who was seen has ended, whatever the environment says of the episode."""
        seen = {agent for step in self.steps for agent in step.observations}
        return bool(seen) and seen <= self.steps[-1].ended


class Player:
    """Plays an environment with random legal actions that follow from `seed`.

    Args:
        env: the environment.
        action_spaces: agent -> its action space.
        seed: of the actions.
        use_masks: whether to keep to the action masks.
    """

    def __init__(self, env: Any, action_spaces: Mapping[Hashable, Any], seed: int, use_masks: bool = True) -> None:
        self.env = env
        self._spaces = {agent: copy.deepcopy(space) for agent, space in action_spaces.items()}
        self._random = np.random.default_rng(seed)
        self._use_masks = use_masks
        for number, space in enumerate(self._spaces.values()):
            if isinstance(space, gym.Space):
                space.seed(seed + number)

    def play(self, number: int, seed: int | None, limit: int) -> Episode:
        """Plays one episode, at most `limit` steps of it; nothing that the environment does makes it raise."""
        episode = Episode(number, seed)
        call = "reset"
        try:
            raw = self._reset(episode)
            while not (episode.over or episode.all_ended) and episode.length < limit:
                actions = {agent: self._choose(episode.steps[-1], agent) for agent in episode.steps[-1].acting}
                call = f"step {episode.length + 1}"
                raw = self._step(episode, actions, raw)
        except Exception as failure:
            _logger.debug("%s failed", call, exc_info=True)
            episode.failure, episode.failed_call = failure, f"episode {number + 1}, {call}"
        return episode

    def _reset(self, episode: Episode) -> Mapping[Hashable, Any]:
        begin = time.perf_counter()
        result = reset(self.env, episode.seed)
        episode.reset_seconds = time.perf_counter() - begin
        observations, infos = reset_parts(result)
        episode.steps.append(self._copied(episode, {}, observations, {}, {}, {}, infos))
        return observations

    def _step(
        self, episode: Episode, actions: dict[Hashable, Any], before: Mapping[Hashable, Any]
    ) -> Mapping[Hashable, Any]:
        last = episode.steps[-1]
        begin = time.perf_counter()
        result = self.env.step(dict(actions))
        episode.step_seconds += time.perf_counter() - begin
        parts = step_parts(result)
        episode.changed_later += [
            (last, agent) for agent, value in before.items() if not same(value, last.observations[agent])
        ]
        episode.steps.append(self._copied(episode, actions, *parts))
        return parts[0]

    def _copied(self, episode: Episode, actions: dict[Hashable, Any], *parts: Mapping[Hashable, Any]) -> Step:
        gone = episode.steps[-1].ended if episode.steps else frozenset()
        state = copy.deepcopy(global_state(self.env, parts[-1]))
        observations, rewards, terminateds, truncateds, infos = (dict(copy.deepcopy(part)) for part in parts)
        return Step(
            episode=episode.number,
            number=len(episode.steps),
            actions=actions,
            observations=observations,
            rewards=rewards,
            terminateds=terminateds,
            truncateds=truncateds,
            infos=infos,
            state=state,
            gone=gone,
        )

    def _choose(self, step: Step, agent: Hashable) -> Any:
        space = self._spaces.get(agent)
        if not isinstance(space, gym.spaces.Discrete):
            return space.sample() if space is not None else None
        legal = np.arange(int(space.n))
        mask = step.mask(agent, columns.ACTION_MASK) if self._use_masks else None
        if mask is not None and np.shape(mask) == (space.n,) and np.any(mask):
            legal = np.flatnonzero(mask)
        return int(self._random.choice(legal)) + int(space.start)


def reset(env: Any, seed: int | None) -> Any:
    """Resets as RLlib does, or without options and seed where the environment does not take them."""
    arguments: dict[str, Any]
    for arguments in ({"seed": seed, "options": None}, {"seed": seed}):
        try:
            inspect.signature(env.reset).bind(**arguments)
        except TypeError:
            continue
        return env.reset(**arguments)
    return env.reset()


def reset_parts(result: Any) -> tuple[Mapping[Hashable, Any], Mapping[Hashable, Any]]:
    """Observations and infos of a reset.

    Raises:
        MalformedResultError: it is not two dictionaries.
    """
    if not isinstance(result, tuple) or len(result) != 2:
        raise MalformedResultError(
            f"reset() returned {_kind(result)}; expected are two dictionaries: observations, infos"
        )
    _check_dictionaries("reset", result, ("observations", "infos"))
    return result


def step_parts(result: Any) -> tuple[Mapping[Hashable, Any], ...]:
    """Observations, rewards, terminateds, truncateds and infos of a step.

    Raises:
        MalformedResultError: it is not five dictionaries.
    """
    if not isinstance(result, tuple) or len(result) != len(_STEP_PARTS):
        expected = f"expected are five dictionaries: {', '.join(_STEP_PARTS)}"
        raise MalformedResultError(f"step() returned {_kind(result)}; {expected}")
    _check_dictionaries("step", result, _STEP_PARTS)
    return result


def _check_dictionaries(call: str, parts: Iterable[Any], names: Iterable[str]) -> None:
    for name, part in zip(names, parts, strict=True):
        if not isinstance(part, Mapping):
            raise MalformedResultError(
                f"the {name} that {call}() returned are {_kind(part)}, not a dictionary by agent id"
            )


def _kind(value: Any) -> str:
    return f"a tuple of {len(value)}" if isinstance(value, tuple) else f"of the type {type(value).__name__}"


def global_state(env: Any, infos: Mapping[Hashable, Any]) -> Any:
    """The global state, from the infos or the method `state`; None without one."""
    common = infos.get(columns.COMMON)
    if isinstance(common, Mapping) and common.get(columns.STATE) is not None:
        return common[columns.STATE]
    if not callable(getattr(env, "state", None)):
        return None
    try:
        return env.state()
    except NotImplementedError:
        # PettingZoo's base class has the method whether or not the game has a state.
        return None


def same(first: Any, second: Any) -> bool:
    """Whether two observations, rewards or the like are the same, NaN counting as equal to itself."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, tuple | list) and isinstance(second, tuple | list):
        return len(first) == len(second) and all(same(one, other) for one, other in zip(first, second, strict=True))
    one, other = np.asarray(first), np.asarray(second)
    floats = one.dtype.kind in "fc" and other.dtype.kind in "fc"
    return bool(np.array_equal(one, other, equal_nan=floats))


def first_difference(env: Any, seed: int | None, episode: Episode, limit: int) -> str | None:
    """Plays an episode's actions again and says in words where something else comes of it; None where nothing does.

    Args:
        env: the environment to play in, which need not be the one of the episode.
        seed: given to `reset`.
        episode: the episode, without a failure.
        limit: steps after which to stop.
    """
    for recorded in episode.steps[: limit + 1]:
        call = f"step {recorded.number}" if recorded.number else "the reset"
        try:
            parts = _again(env, seed, recorded)
        except Exception as failure:
            return f"at {call} the environment raised {type(failure).__name__}: {failure}"
        for name, part in zip(_STEP_PARTS, parts, strict=False):
            before = getattr(recorded, name)
            for key in {**before, **part}:
                if not (key in before and key in part and same(before[key], part[key])):
                    return f"the {name} of {key!r} differ at {call}"
    return None


def _again(env: Any, seed: int | None, recorded: Step) -> tuple[Mapping[Hashable, Any], ...]:
    if recorded.number:
        # Infos may hold times and the like.
        return step_parts(env.step(dict(recorded.actions)))[:-1]
    return reset_parts(reset(env, seed))[:1]
