"""What a training result says about progress: numbers worth a line, and an estimate of the time left."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rllib_mamba.cli.settings import flatten

RETURN = "env_runners/episode_return_mean"
EVALUATION_RETURN = f"evaluation/{RETURN}"
ENV_STEPS = "num_env_steps_sampled_lifetime"
ITERATION = "training_iteration"
EPISODE_METRICS = "env_runners/episode_metrics/"

# The losses worth a line, the most telling first, whatever the algorithm; others follow while there is room.
MAX_LOSSES = 5
_MAIN_LOSSES = ["total_loss", "reconstruction_loss", "reward_loss", "kl_loss", "policy_loss", "actor_loss", "vf_loss"]
_MAIN_LOSSES += ["critic_loss", "value_loss", "qf_loss"]
_COUNTERS = {ITERATION, "time_total_s", "timesteps_total", "episodes_total"}


@dataclass(frozen=True)
class Progress:
    """One training result, reduced to what a person watches. Missing numbers are None."""

    iteration: int
    env_steps: int | None
    steps_per_second: float | None
    seconds: float
    seconds_left: float | None
    episode_return: float | None
    evaluation_return: float | None
    updates: dict[str, int] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    losses: dict[str, float] = field(default_factory=dict)

    def parts(self) -> list[str]:
        """Returns the numbers as short texts, in the order they are shown."""
        parts = [f"iteration {self.iteration}"]
        if self.env_steps is not None:
            rate = f" ({self.steps_per_second:,.0f}/s)" if self.steps_per_second is not None else ""
            parts.append(f"{self.env_steps:,} env steps{rate}")
        if self.updates:
            parts.append("updates " + ", ".join(f"{name} {count:,}" for name, count in self.updates.items()))
        if self.episode_return is not None:
            parts.append(f"return {self.episode_return:.4g}")
        if self.evaluation_return is not None:
            parts.append(f"evaluation return {self.evaluation_return:.4g}")
        parts += [f"{name} {value:.3g}" for name, value in self.metrics.items()]
        parts += [f"{name} {value:.3g}" for name, value in self.losses.items()]
        parts.append(duration(self.seconds))
        if self.seconds_left is not None:
            parts.append(f"about {duration(self.seconds_left)} left")
        return parts


class ProgressTracker:
    """Turns the results of one trial into `Progress`, with rates measured since this process began the trial.

    `stop` holds the stop criteria by metric name; the estimate of the time left is that of the counter among them
    (iterations, steps, seconds) that is reached first. Returns are no counters, so they give no estimate.
    """

    def __init__(self, stop: Mapping[str, float], clock: Callable[[], float] = time.monotonic) -> None:
        self._stop = stop
        self._clock = clock
        self._start = clock()
        self._previous: tuple[float, float] | None = None
        self._first: dict[str, tuple[float, float]] = {}

    def update(self, result: Mapping[str, Any]) -> Progress:
        """Reads one `result` of RLlib (nested or flat)."""
        now = self._clock()
        flat = flatten(result)
        steps = _number(flat, ENV_STEPS, f"env_runners/{ENV_STEPS}")
        # A restored trial begins at a later iteration, with counters from before: its first result has no rate.
        iteration = _number(flat, ITERATION) or 1.0
        progress = Progress(
            iteration=int(iteration),
            env_steps=None if steps is None else int(steps),
            steps_per_second=self._rate(steps, iteration, now),
            seconds=now - self._start,
            seconds_left=self._seconds_left(flat, iteration, now),
            episode_return=_number(flat, RETURN),
            evaluation_return=_number(flat, EVALUATION_RETURN),
            updates=_updates(flat),
            metrics=_metrics(flat),
            losses=_losses(flat),
        )
        if steps is not None:
            self._previous = (steps, now)
        return progress

    def _rate(self, steps: float | None, iteration: float, now: float) -> float | None:
        if steps is None or (self._previous is None and iteration > 1):
            return None
        previous_steps, previous_time = self._previous or (0.0, self._start)
        elapsed = now - previous_time
        return (steps - previous_steps) / elapsed if elapsed > 0 else None

    def _seconds_left(self, flat: Mapping[str, Any], iteration: float, now: float) -> float | None:
        estimates = []
        for name, target in counters(self._stop).items():
            value = _number(flat, name)
            if value is None:
                continue
            begin = (value, now) if iteration > 1 else (0.0, self._start)
            begin_value, begin_time = self._first.setdefault(name, begin)
            gained, elapsed = value - begin_value, now - begin_time
            if gained > 0 and elapsed > 0:
                estimates.append(max(0.0, (target - value) * elapsed / gained))
        return min(estimates, default=None)


def counters(stop: Mapping[str, float]) -> dict[str, float]:
    """Returns those of the stop criteria that count something, whatever a trial learns: iterations, env steps, time."""
    return {name: value for name, value in stop.items() if name in _COUNTERS or name.endswith("_lifetime")}


def duration(seconds: float) -> str:
    """Returns a time in words, to two units: `45 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _number(flat: Mapping[str, Any], *names: str) -> float | None:
    for name in names:
        value = flat.get(name)
        if value is None or isinstance(value, bool) or not hasattr(value, "__float__"):
            continue
        number = float(value)
        if math.isfinite(number):
            return number
    return None


def _learner_entries(flat: Mapping[str, Any]) -> dict[tuple[str, str], float]:
    """Maps (module, metric) of the learners to numbers; the module is empty for what belongs to all."""
    entries = {}
    for name in flat:
        if name.startswith("learners/") and (value := _number(flat, name)) is not None:
            module, _, metric = name.removeprefix("learners/").rpartition("/")
            entries[module, metric] = value
    return entries


def _short_names(values: Mapping[tuple[str, str], float]) -> dict[str, float]:
    several = len({module for module, _ in values}) > 1
    return {f"{module}/{name}" if several else name: value for (module, name), value in values.items()}


def _updates(flat: Mapping[str, Any]) -> dict[str, int]:
    found = {
        (module, name.removeprefix("num_").removesuffix("_updates_lifetime").replace("_", " ")): value
        for (module, name), value in sorted(_learner_entries(flat).items())
        if name.startswith("num_") and name.endswith("_updates_lifetime")
    }
    return {name: int(value) for name, value in _short_names(found).items()}


def _metrics(flat: Mapping[str, Any]) -> dict[str, float]:
    return {
        name.removeprefix(EPISODE_METRICS): value
        for name in flat
        if name.startswith(EPISODE_METRICS) and (value := _number(flat, name)) is not None
    }


def _losses(flat: Mapping[str, Any]) -> dict[str, float]:
    found = {key: value for key, value in _learner_entries(flat).items() if key[1].endswith("loss")}
    order = {name: index for index, name in enumerate(_MAIN_LOSSES)}
    ranked = sorted(found, key=lambda key: (order.get(key[1], len(order)), key))
    chosen = {(module, name.replace("_", " ")): found[module, name] for module, name in ranked[:MAX_LOSSES]}
    return _short_names(chosen)
