"""Means over episodes with bootstrap intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np

RESAMPLES = 10_000
CONFIDENCE = 0.95


def bootstrap_mean(values: Sequence[float], seed: int = 0) -> dict[str, float]:
    """Returns `mean`, and the percentile bootstrap interval of it as `low` and `high`.

    Resamples the (n,) values with replacement; the interval covers 95 %. One value gives no interval of its own: low
    and high are the value.
    """
    sample = np.asarray(values, np.float64)
    random = np.random.default_rng(seed)
    means = np.concatenate(
        [sample[random.integers(len(sample), size=(1000, len(sample)))].mean(axis=1) for _ in range(RESAMPLES // 1000)]
    )
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    return {"mean": float(sample.mean()), "low": float(low), "high": float(high)}


def summarise(columns: dict[str, list[float]]) -> dict[str, dict[str, Any]]:
    """Returns `bootstrap_mean` of every column with its smallest and largest value and their number."""
    return {
        name: {**bootstrap_mean(values), "min": min(values), "max": max(values), "episodes": len(values)}
        for name, values in columns.items()
        if values
    }
