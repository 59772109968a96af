"""Estimates over seeds with bootstrap intervals, after Agarwal et al. 2021 (arXiv 2108.13264), by rliable."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
GRID_POINTS = 120
TRIMMED = 0.25


@dataclass(frozen=True)
class Estimate:
    """A number with the bounds of its interval, which are None where there is only one seed.

    Infinite values stand for "beyond what was run".
    """

    point: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Curve:
    """An average over seeds along `x`, all (points,); `low` and `high` are None for one seed."""

    x: np.ndarray
    center: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are made: `resamples` draws of seeds with replacement, from a fixed random state."""

    resamples: int = 2000

    def estimates(self, scores: np.ndarray, function: Callable[[np.ndarray], np.ndarray]) -> list[Estimate]:
        """Returns one estimate for each number that `function` gives for scores (seeds, environments, ...)."""
        if len(scores) == 1:
            return [Estimate(float(value)) for value in function(scores)]
        point, (low, high) = self._rliable(scores, function)
        return [Estimate(*map(float, values)) for values in zip(point, low, high, strict=True)]

    def curve(self, x: np.ndarray, values: np.ndarray, statistic: str) -> Curve:
        """Returns the `statistic` over seeds of values (seeds, points) at each point."""

        def function(scores: np.ndarray) -> np.ndarray:
            return average(scores[:, 0], statistic)

        if len(values) == 1:
            return Curve(x, values[0])
        center, (low, high) = self._rliable(values[:, None], function)
        return Curve(x, center, low, high)

    def probability_of_improvement(self, better: np.ndarray, other: np.ndarray) -> Estimate:
        """Returns how probably a run of `better` beats one of `other`, both (seeds, environments)."""
        from rliable import metrics

        def function(x: np.ndarray, y: np.ndarray) -> np.ndarray:
            return np.array([metrics.probability_of_improvement(x, y)])

        if len(better) == 1 and len(other) == 1:
            return Estimate(float(function(better, other)[0]))
        [point], [[low], [high]] = self._rliable([better, other], function)
        return Estimate(float(point), float(low), float(high))

    def median(self, values: np.ndarray) -> Estimate:
        """Returns the median of (seeds,) with its interval; infinite values are allowed."""
        point = float(_median(values))
        if len(values) == 1:
            return Estimate(point)
        return Estimate(point, *_percentiles(_median(self._resampled(values, 0))))

    def ratio_of_medians(self, values: np.ndarray, reference: np.ndarray) -> Estimate | None:
        """Returns median(values) / median(reference), seeds of both resampled independently.

        Infinite values are allowed; None where both medians are infinite.
        """
        point = _ratio(_median(values), _median(reference))
        if math.isnan(point):
            return None
        if len(values) == 1 or len(reference) == 1:
            return Estimate(float(point))
        samples = _ratio(_median(self._resampled(values, 0)), _median(self._resampled(reference, 1)))
        # Draws in which neither gets there say nothing: they widen the interval on both sides.
        low, _ = _percentiles(np.nan_to_num(samples, nan=0.0, posinf=math.inf))
        _, high = _percentiles(np.nan_to_num(samples, nan=math.inf, posinf=math.inf))
        return Estimate(float(point), low, high)

    def _rliable(
        self, scores: np.ndarray | list[np.ndarray], function: Callable[..., np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        from rliable import library

        with warnings.catch_warnings():
            # Of the package below rliable, about an argument that rliable gives it.
            warnings.filterwarnings("ignore", message="random_state is deprecated", category=FutureWarning)
            points, intervals = library.get_interval_estimates(
                {"scores": scores},
                function,
                reps=self.resamples,
                confidence_interval_size=CONFIDENCE,
                random_state=np.random.RandomState(0),
            )
        return points["scores"], intervals["scores"]

    def _resampled(self, values: np.ndarray, seed: int) -> np.ndarray:
        random = np.random.default_rng(seed)
        return values[random.integers(len(values), size=(self.resamples, len(values)))]


def average(values: np.ndarray, statistic: str) -> np.ndarray:
    """Returns the "mean" or "iqm" of (n, ...) over its first axis.

    The interquartile mean leaves out the lowest and highest quarter; of fewer than four values it is the mean.
    """
    if statistic == "mean":
        return values.mean(axis=0)
    cut = int(TRIMMED * len(values))
    return np.sort(values, axis=0)[cut : len(values) - cut].mean(axis=0)


def common_grid(seeds: Sequence[np.ndarray]) -> np.ndarray:
    """Returns points that lie within what every one of `seeds`, each (points,) ascending, covers; none if nothing."""
    begin, end = max(x[0] for x in seeds), min(x[-1] for x in seeds)
    return np.linspace(begin, end, GRID_POINTS) if end > begin else np.empty(0)


def first_reached(x: np.ndarray, reached: np.ndarray) -> float:
    """Returns the first `x` (points,) at which `reached` (points,) is true; infinite where it never is."""
    return float(x[np.argmax(reached)]) if reached.any() else math.inf


def _median(values: np.ndarray) -> np.ndarray:
    # Between two seeds lies their mean, which is infinite if one of them is.
    ordered = np.sort(values, axis=-1)
    middle = ordered.shape[-1] // 2
    if ordered.shape[-1] % 2:
        return ordered[..., middle]
    return (ordered[..., middle - 1] + ordered[..., middle]) / 2


def _ratio(values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.divide(values, reference)


def _percentiles(samples: np.ndarray) -> tuple[float, float]:
    tail = (1 - CONFIDENCE) / 2
    ordered = np.sort(samples)
    last = len(ordered) - 1
    # No interpolation: between a finite and an infinite value there is nothing.
    return float(ordered[math.floor(tail * last)]), float(ordered[math.ceil((1 - tail) * last)])
