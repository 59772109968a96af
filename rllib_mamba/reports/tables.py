"""The numbers of a comparison as JSON and CSV."""

import csv
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rllib_mamba.reports.comparison import Aggregate, Comparison, GroupNumbers, SectionNumbers
from rllib_mamba.reports.statistics import CONFIDENCE, Curve, Estimate

JSON_FILE = "comparison.json"
RUNS_FILE = "runs.csv"
CURVES_FILE = "curves.csv"


def write_numbers(comparison: Comparison, made_with: Mapping[str, Any], folder: Path) -> None:
    """Writes everything as JSON, and runs and curves as CSV too. Infinite numbers of steps become null."""
    method = comparison.method
    content = {
        "made_with": dict(made_with),
        "method": {
            "metric": method.metric,
            "statistic": method.statistic,
            "smoothing_episodes": method.smoothing,
            "final_share": method.final_share,
            "confidence": CONFIDENCE,
            "bootstrap_resamples": method.bootstrap.resamples,
            "lower_is_better": method.lower_is_better,
        },
        "notes": list(comparison.notes),
        "environments": {section.section.environment: _section(section) for section in comparison.sections},
        "aggregate": _aggregate(comparison.aggregate) if comparison.aggregate is not None else None,
    }
    (folder / JSON_FILE).write_text(json.dumps(_finite(content), indent=2, allow_nan=False, default=str) + "\n")
    _write_runs(comparison, folder / RUNS_FILE)
    _write_curves(comparison, folder / CURVES_FILE)


def _section(section: SectionNumbers) -> dict[str, Any]:
    return {
        "threshold": section.threshold,
        "threshold_rule": section.threshold_rule,
        "common_steps": section.common_steps,
        "reference": section.reference,
        "step_unit": section.section.runs[0].step_unit,
        "env_config": section.section.runs[0].env_config,
        "notes": list(section.section.notes),
        "groups": {group.name: _group(group) for group in section.groups},
    }


def _group(group: GroupNumbers) -> dict[str, Any]:
    return {
        "algorithm": group.group.runs[0].algorithm,
        "final_mean": _estimate(group.mean),
        "final_iqm": _estimate(group.iqm),
        "iqm_at_common_steps": _estimate(group.equal_steps),
        "median_steps_to_threshold": _estimate(group.median_reached),
        "ratio_to_reference": _estimate(group.ratio),
        "curves": {axis: _curve(curve) for axis, curve in group.curves.items()},
        "runs": [
            {
                "folder": str(run.folder),
                "seed": run.seed,
                "final": final,
                "steps": budget,
                "hours": float(series.hours[-1]),
                "steps_to_threshold": reached,
                "versions": run.versions,
                "host": run.host,
                "curve": {name: getattr(series, name).tolist() for name in ("steps", "hours", "values")},
            }
            for run, series, final, budget, reached in zip(
                group.group.runs, group.series, group.finals, group.budgets, group.reached, strict=True
            )
        ],
    }


def _aggregate(aggregate: Aggregate) -> dict[str, Any]:
    return {
        "environments": list(aggregate.environments),
        "normalised_zero": aggregate.zero,
        "normalised_one": aggregate.one,
        "seeds": aggregate.seeds,
        "iqm": {name: _estimate(value) for name, value in aggregate.iqm.items()},
        "mean": {name: _estimate(value) for name, value in aggregate.mean.items()},
        "probability_of_improvement": [
            {"of": a, "over": b, **(_estimate(value) or {})} for (a, b), value in aggregate.probabilities.items()
        ],
        "notes": list(aggregate.notes),
    }


def _estimate(estimate: Estimate | None) -> dict[str, float | None] | None:
    return None if estimate is None else {"point": estimate.point, "low": estimate.low, "high": estimate.high}


def _curve(curve: Curve | None) -> dict[str, Any] | None:
    if curve is None:
        return None
    arrays = {"x": curve.x, "center": curve.center, "low": curve.low, "high": curve.high}
    return {name: None if array is None else array.tolist() for name, array in arrays.items()}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write_runs(comparison: Comparison, file: Path) -> None:
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["environment", "name", "algorithm", "seed", "final", "steps", "hours", "steps_to_threshold"])
        for section in comparison.sections:
            for group in section.groups:
                for run, numbers in zip(group.group.runs, _group(group)["runs"], strict=True):
                    values = [_finite(numbers[key]) for key in ("final", "steps", "hours", "steps_to_threshold")]
                    writer.writerow([run.environment, run.name, run.algorithm, run.seed, *values])


def _write_curves(comparison: Comparison, file: Path) -> None:
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["environment", "name", "axis", "x", "center", "low", "high"])
        for section in comparison.sections:
            for group in section.groups:
                for axis, curve in group.curves.items():
                    if curve is None:
                        continue
                    nothing = [None] * len(curve.x)
                    bounds = (
                        nothing if curve.low is None else curve.low,
                        nothing if curve.high is None else curve.high,
                    )
                    for row in zip(curve.x, curve.center, *bounds, strict=True):
                        writer.writerow([section.section.environment, group.name, axis, *row])
