"""What an environment is like: sizes, what it gives, how long episodes are and how fast it is."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from rllib_mamba.checking.evidence import Evidence
from rllib_mamba.checking.findings import Finding, named, note, shown, warning
from rllib_mamba.checking.rewards import number
from rllib_mamba.teams import columns
from rllib_mamba.teams.team_env import ALL

SLOW = 10.0
"""Env steps per second below which an environment is called slow."""

_COLOURS = 3


def facts_of(evidence: Evidence) -> dict[str, str]:
    """Name -> what there is to say about it, for people."""
    return {
        "agents": f"{len(evidence.agents)}: {named(evidence.agents)}",
        "observations": _spaces(evidence.observation_spaces, evidence),
        "actions": _spaces(evidence.action_spaces),
        "gives": ", ".join(_gives(evidence)) or "no masks, state or metrics",
        "episodes": _episodes(evidence),
        "deaths": _deaths(evidence),
        "returns": _returns(evidence),
        "speed": "{:,.0f} env steps/s, {:.3g} ms a reset".format(*_speed(evidence)),
    }


def speed_is_bearable(evidence: Evidence) -> Iterator[Finding]:
    """Environments that take longer than learning."""
    steps_per_second, _ = _speed(evidence)
    if 0 < steps_per_second < SLOW:
        yield warning(
            f"{steps_per_second:.2g} env steps/s.",
            "some hundred env steps/s; with these, 100,000 of them take "
            f"{100_000 / steps_per_second / 3600:.0f} hours in one environment.",
            "make it faster, or use several env runners (`--num-env-runners`).",
        )


def rendering_gives_images(env: Any) -> tuple[str, list[Finding]]:
    """What `render()` gives after a reset, and what is wrong with it where images are promised."""
    able = "rgb_array" in (getattr(env, "metadata", None) or {}).get("render_modes", [])
    promised = getattr(env, "render_mode", None) == "rgb_array"
    if not promised:
        return "no images" + (", unless its `env_config` has render_mode=rgb_array" if able else ""), []
    try:
        frame = env.render()
    except Exception as failure:
        problem = f"render() raised {type(failure).__name__}: {failure}"
    else:
        shape = np.shape(frame)
        if isinstance(frame, np.ndarray) and len(shape) == _COLOURS and shape[2] == _COLOURS:
            if frame.dtype == np.uint8:
                return f"images of {shape[1]} x {shape[0]}", []
            problem = f"render() gives images of dtype {frame.dtype}"
        else:
            problem = f"render() gives {'nothing' if frame is None else shown(frame)}"
    finding = note(
        f"{problem}, although `render_mode` is rgb_array.",
        "an image (height, width, 3) of uint8, also without a screen, for `rllib evaluate --video-dir`.",
        "draw into an array, without a window.",
    )
    return problem, [finding]


def _spaces(spaces: Mapping[Hashable, Any], evidence: Evidence | None = None) -> str:
    kinds: dict[str, int] = {}
    for agent, space in spaces.items():
        own = evidence.spaces.get(agent) if evidence else None
        size = f", {own.observation_size} numbers flattened" if own and not _is_vector(own.space) else ""
        text = _kind(space)
        kinds[text + size] = kinds.get(text + size, 0) + 1
    if len(kinds) == 1:
        return next(iter(kinds))
    return "; ".join(f"{text} for {count}" for text, count in kinds.items())


def _kind(space: Any) -> str:
    if isinstance(space, gym.spaces.Box):
        return f"Box {space.shape} of {space.dtype}"
    return f"Discrete({space.n})" if isinstance(space, gym.spaces.Discrete) else shown(space)


def _is_vector(space: Any) -> bool:
    return isinstance(space, gym.spaces.Box) and len(space.shape) == 1


def _gives(evidence: Evidence) -> Iterator[str]:
    steps = list(evidence.steps)
    for key, name in ((columns.ACTION_MASK, "action masks"), (columns.COMM_MASK, "communication masks")):
        by_agent = any(step.mask(agent, key) is not None for step in steps for agent in evidence.agents)
        if by_agent or any(key in step.info(columns.COMMON) for step in steps):
            yield name
    sizes = {np.size(step.state) for step in steps if step.state is not None}
    if sizes:
        yield f"a global state of {' or '.join(str(size) for size in sorted(sizes))} numbers"
    metrics = {name for step in steps for name in _metrics(step.info(columns.COMMON))}
    if metrics:
        yield f"the metrics {', '.join(sorted(metrics))}"


def _metrics(common: Mapping[str, Any]) -> Iterable[str]:
    metrics = common.get(columns.EPISODE_METRICS)
    return (str(name) for name in metrics) if isinstance(metrics, Mapping) else ()


def _episodes(evidence: Evidence) -> str:
    over = [episode for episode in evidence.episodes if episode.over]
    lengths = [episode.length for episode in over]
    terminated = sum(bool(episode.steps[-1].terminateds.get(ALL)) for episode in over)
    kinds = {
        "terminated": terminated,
        "truncated": len(over) - terminated,
        f"left after {evidence.step_limit} steps": len(evidence.episodes) - len(over),
    }
    parts = [f"{count} {kind}" for kind, count in kinds.items() if count]
    if lengths:
        parts.insert(0, f"{min(lengths)} to {max(lengths)} steps" if len(set(lengths)) > 1 else f"{lengths[0]} steps")
    return f"{len(evidence.episodes)} of random play: {', '.join(parts)}"


def _deaths(evidence: Evidence) -> str:
    """How many agents ended before their episode did."""
    before = [agent for step in evidence.steps if not step.over for agent in step.ended - step.gone]
    everybody = len(evidence.agents) * len(evidence.episodes)
    return f"{len(before)} of {everybody} agents ended before their episode did" if before else "none before an end"


def _returns(evidence: Evidence) -> str:
    """Over the episodes: each one's mean over all agents."""
    returns = []
    for episode in evidence.episodes:
        rewards = (number(reward) or 0.0 for step in episode.steps for reward in step.rewards.values())
        returns.append(sum(rewards) / len(evidence.agents))
    span = f", {min(returns):.4g} to {max(returns):.4g}" if len(returns) > 1 else ""
    return f"{np.mean(returns):.4g}{span} (means over agents)"


def _speed(evidence: Evidence) -> tuple[float, float]:
    """Env steps per second and milliseconds of a reset, of wall-clock time; zeros without episodes."""
    seconds = sum(episode.step_seconds for episode in evidence.episodes)
    steps = sum(episode.length for episode in evidence.episodes)
    resets = [episode.reset_seconds for episode in evidence.episodes if episode.steps]
    return steps / seconds if seconds else 0.0, 1000 * float(np.mean(resets)) if resets else 0.0
