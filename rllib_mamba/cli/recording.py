"""Environments that record what happens in them: seeds, returns, lengths, metrics and frames of episodes."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from ray.rllib.env.wrappers.pettingzoo_env import ParallelPettingZooEnv, PettingZooEnv

from rllib_mamba.cli.errors import CommandError, one_line

SINGLE_AGENT = "agent"
FRAMES_PER_SECOND = 20.0
"""Of the videos of environments whose metadata has no `render_fps`."""


@dataclass(frozen=True)
class Episode:
    """A finished episode: the seed it began with, the returns of its agents, its length in steps, its metrics."""

    seed: int
    returns: dict[str, float]
    length: int
    metrics: dict[str, float]
    frames: list[np.ndarray] = field(default_factory=list)
    frames_per_second: float = FRAMES_PER_SECOND


class EpisodeLog:
    """Collects one episode at a time, between `expect` and `finished`; what is before and after is left alone.

    Args:
        with_frames: Whether to keep what `render()` gives, (height, width, 3) uint8, at every step.
        show: Whether to render for a person watching.
    """

    def __init__(self, with_frames: bool = False, show: bool = False) -> None:
        self.with_frames = with_frames
        self.show = show
        self._seed: int | None = None
        self._running = False
        self._clear()

    def expect(self, seed: int) -> None:
        """The next reset begins the episode to record, with `seed`."""
        self._seed = seed
        self._running = self._ended = False

    def finished(self) -> Episode:
        """The recorded episode."""
        assert self._seed is not None
        return Episode(
            self._seed, dict(self._returns), self._length, self._metrics, self._frames, self._frames_per_second
        )

    def begin(self, seed: int | None) -> int | None:
        """Called before a reset with the seed asked for; returns the one to use."""
        if self._seed is None or self._ended or self._running:
            return seed
        self._clear()
        self._running = True
        return self._seed

    def look(self, environment: Any) -> None:
        """Called after every reset and step of `environment`."""
        if not self._running or not (self.with_frames or self.show):
            return
        # RLlib's PettingZoo wrappers call render() with an argument that PettingZoo does not take.
        is_pettingzoo = isinstance(environment, PettingZooEnv | ParallelPettingZooEnv)
        drawn = getattr(environment, "par_env", None) or environment.env if is_pettingzoo else environment
        frame = drawn.render()
        if self.with_frames:
            self._frames.append(_checked_frame(frame))
            self._frames_per_second = float((environment.metadata or {}).get("render_fps") or FRAMES_PER_SECOND)

    def step(self, rewards: Mapping[Any, float], infos: Mapping[Any, Any], ended: bool) -> None:
        """Called after a step with the rewards by agent."""
        if not self._running:
            return
        self._length += 1
        for agent, reward in rewards.items():
            self._returns[str(agent)] += float(reward)
        self._metrics |= _episode_metrics(infos)
        if ended:
            self._running = False
            self._ended = True

    def _clear(self) -> None:
        self._returns: dict[str, float] = defaultdict(float)
        self._length = 0
        self._metrics: dict[str, float] = {}
        self._frames: list[np.ndarray] = []
        self._frames_per_second = FRAMES_PER_SECOND
        self._ended = False


class RecordedEnv(gym.Wrapper):
    """A gymnasium environment with an `EpisodeLog`."""

    def __init__(self, env: gym.Env, log: EpisodeLog) -> None:
        super().__init__(env)
        self._log = log

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As the environment's, with the seed that the log expects."""
        result = self.env.reset(seed=self._log.begin(seed), options=options)
        self._log.look(self.env)
        return result

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """As the environment's."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._log.look(self.env)
        self._log.step({SINGLE_AGENT: float(reward)}, {"__common__": info}, bool(terminated or truncated))
        return observation, reward, terminated, truncated, info


def recorded(environment: Any, log: EpisodeLog) -> Any:
    """Returns `environment` with `log` attached."""
    if isinstance(environment, MultiAgentEnv):
        return _recorded_multi_agent(environment, log)
    return RecordedEnv(environment, log)


def _recorded_multi_agent(environment: MultiAgentEnv, log: EpisodeLog) -> MultiAgentEnv:
    # Attached to the environment itself: RLlib has no wrapper for these, and looks at many of their attributes.
    inner_reset, inner_step = environment.reset, environment.step

    def reset(*, seed: int | None = None, options: Any = None) -> tuple[dict[Any, Any], dict[Any, Any]]:
        result = inner_reset(seed=log.begin(seed), options=options)
        log.look(environment)
        return result

    def step(action_dict: Mapping[Any, Any]) -> tuple[dict[Any, Any], ...]:
        result = inner_step(action_dict)
        _, rewards, terminateds, truncateds, infos = result
        log.look(environment)
        log.step(rewards, infos, bool(terminateds.get("__all__") or truncateds.get("__all__")))
        return result

    environment.reset, environment.step = reset, step
    return environment


def _episode_metrics(infos: Mapping[Any, Any]) -> dict[str, float]:
    common = infos.get("__common__")
    metrics = common.get("episode_metrics") if isinstance(common, Mapping) else None
    return {str(name): float(value) for name, value in metrics.items()} if isinstance(metrics, Mapping) else {}


def _checked_frame(frame: Any) -> np.ndarray:
    array = np.asarray(frame) if frame is not None else np.empty(0)
    if array.ndim != 3 or array.shape[2] not in (3, 4):
        raise CommandError(
            "--video-dir needs an environment whose render() gives (height, width, 3) images; this one gives "
            + ("nothing." if frame is None else f"{one_line(type(frame).__name__)} of shape {array.shape}.")
        )
    return array[..., :3].astype(np.uint8)
