"""A run on disk: what it was and the numbers it left."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ENV_STEPS = "env steps"
AGENT_STEPS = "agent steps"
TIMESTEPS_TOTAL = "timesteps_total"
"""The counter of RLlib's old API stack, which counts env or agent steps as the run was configured."""

STEPS = "steps"
HOURS = "hours"

TRAINING = "env_runners/"
EVALUATION = f"evaluation/{TRAINING}"
"""Where RLlib puts the metrics of training and evaluation episodes."""


@dataclass(frozen=True)
class Series:
    """A metric of one run over its training; all arrays are (points,), of float64 and bool.

    `steps` is in the run's step unit, `hours` is wall-clock since its start, `settled` says whether a value is averaged
    over as many episodes as was asked for; the last one always counts as such.
    """

    steps: np.ndarray
    hours: np.ndarray
    values: np.ndarray
    settled: np.ndarray

    def along(self, axis: str) -> np.ndarray:
        """Returns `steps` or `hours`, by name."""
        return self.steps if axis == STEPS else self.hours


@dataclass(frozen=True)
class Run:
    """One trial: `columns` maps each metric to its values over the results, NaN where a result has none.

    `settings` is the configuration that was trained, `env_config` what the environment got (without its seed and what
    the package adds), `return_convention` says how the agents' rewards became the run's return.
    """

    folder: Path
    algorithm: str
    environment: str
    env_config: dict[str, Any]
    seed: int | None
    settings: dict[str, Any]
    step_unit: str
    return_convention: str
    columns: dict[str, np.ndarray]
    versions: dict[str, str]
    host: str | None = None
    label: str | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def name(self) -> str:
        """The group that the run belongs to within its environment: the label it was given, or its algorithm."""
        return self.label or self.algorithm

    @property
    def metrics(self) -> list[str]:
        """The metrics that at least one result has a number for."""
        return [name for name, values in self.columns.items() if not np.isnan(values).all()]

    def series(self, metric: str, episodes: int = 0) -> Series:
        """Returns `metric` where it has a number, each value averaged over the last results that hold `episodes`."""
        values, steps, hours = self.columns[metric], self.columns[STEPS], self.columns[HOURS]
        there = ~(np.isnan(values) | np.isnan(steps))
        values = values[there]
        scope = EVALUATION if metric.startswith(EVALUATION) else TRAINING
        counts = self.columns.get(f"{scope}num_episodes", np.ones_like(steps))[there]
        weights = np.maximum(np.nan_to_num(counts, nan=1.0), 1.0)
        until = np.cumsum(weights)
        ends = np.arange(len(values))
        begins = np.minimum(np.searchsorted(until, until - episodes, side="right"), ends)
        sums = np.insert(np.cumsum(weights * values), 0, 0.0)
        smooth = (sums[ends + 1] - sums[begins]) / (until - np.insert(until, 0, 0.0)[begins])
        settled = (until >= episodes) | (ends == len(ends) - 1)
        return Series(steps[there], hours[there], smooth, settled)
