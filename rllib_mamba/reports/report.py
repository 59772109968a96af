"""The comparison as a page of Markdown, with its figures and numbers beside it."""

import math
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rllib_mamba.reports.comparison import Aggregate, Comparison, GroupNumbers, Method, SectionNumbers
from rllib_mamba.reports.metrics import in_words, measured_on
from rllib_mamba.reports.runs import Run
from rllib_mamba.reports.statistics import CONFIDENCE, Estimate
from rllib_mamba.reports.style import time_unit
from rllib_mamba.reports.tables import CURVES_FILE, JSON_FILE, RUNS_FILE

REPORT_FILE = "report.md"
_PERCENT = f"{100 * CONFIDENCE:g} %"
_NO_INTERVAL = "one seed: no interval"
_SEED_WORDS = "With fewer than four seeds the interquartile mean leaves nothing out and is the mean."


def write_report(
    comparison: Comparison, figures: dict[str, list[str]], made_with: dict[str, Any], folder: Path
) -> None:
    """Writes the report; `figures` are file names by what they show, as `draw` gives them."""
    lines = [f"# Comparison: {in_words(comparison.method.metric)}", ""]
    lines += _method(comparison.method)
    for index, section in enumerate(comparison.sections, start=1):
        lines += _section(section, comparison.method, figures[f"curves{index}"], figures[f"scores{index}"])
    if comparison.aggregate is not None:
        lines += _aggregate(comparison.aggregate, figures["aggregate"])
    notes = list(comparison.notes)
    if notes:
        lines += ["## Notes", "", *(f"- {note}" for note in notes), ""]
    lines += ["## How this was made", "", f"    {made_with['command']}", ""]
    versions = ", ".join(f"{name} {version}" for name, version in made_with["versions"].items())
    lines += [
        f"With {versions}. The numbers are in `{JSON_FILE}`, those of each run in `{RUNS_FILE}`, the lines of the "
        f"figures in `{CURVES_FILE}`.",
        "",
    ]
    (folder / REPORT_FILE).write_text("\n".join(lines))


def steps_to_threshold(group: GroupNumbers) -> str:
    """Returns the median number of steps to the threshold with its interval, in words where it was not reached."""
    count = len(group.reached)
    missed = [budget for budget, steps in zip(group.budgets, group.reached, strict=True) if math.isinf(steps)]
    within = f"{min(missed):,.0f}" if missed else ""
    if math.isinf(group.median_reached.point):
        some = f"; {count - len(missed)} of {count} seeds did" if len(missed) < count else ""
        return f"not reached within {within}{some}"
    interval = _interval(group.median_reached, lambda value: f"{value:,.0f}", f"> {within}")
    some = f"; {len(missed)} of {count} seeds not within {within}" if missed else ""
    return f"{group.median_reached.point:,.0f} ({interval}){some}"


def ratio(group: GroupNumbers, reference: GroupNumbers) -> str:
    """Returns how many times the reference's steps the group needs, with the interval; a bound where one got stuck."""
    estimate = group.ratio
    if estimate is None:
        return "neither got there"
    if math.isinf(estimate.point):
        return f"> {_at_least(group) / reference.median_reached.point:.3g}"
    if estimate.point == 0:
        return f"< {group.median_reached.point / _at_least(reference):.3g}"
    return f"{estimate.point:.3g} ({_interval(estimate, lambda value: f'{value:.3g}', 'unbounded')})"


def _at_least(group: GroupNumbers) -> float:
    """What the median is at least, when seeds that did not get there would have the step after their last."""
    return statistics.median(min(pair) for pair in zip(group.reached, group.budgets, strict=True))


def _method(method: Method) -> list[str]:
    smoothing = "none beyond the averages that the results hold"
    if method.smoothing:
        smoothing = (
            f"each value is the mean over the last results that hold {method.smoothing} episodes, or all until then"
        )
    return [
        f"Metric: `{method.metric}`, of {measured_on(method.metric)}"
        + ("; lower is better." if method.lower_is_better else "."),
        f"Smoothing: {smoothing}.",
        f"Final score: the mean over the last {100 * method.final_share:g} % of a run's steps.",
        f"Intervals: {_PERCENT} percentile bootstrap over seeds, {method.bootstrap.resamples:,} resamples (rliable).",
        _SEED_WORDS,
        "",
    ]


def _section(section: SectionNumbers, method: Method, curves: Sequence[str], scores: Sequence[str]) -> list[str]:
    unit = section.section.runs[0].step_unit
    lines = [f"## {section.section.environment}", "", f"![Learning curves]({curves[0]})", ""]
    lines += _final_table(section, unit)
    lines += _threshold_table(section, unit, method.smoothing)
    lines += [f"![Final scores, and steps to the threshold]({scores[0]})", ""]
    lines += _what_was_compared(section)
    return lines


def _final_table(section: SectionNumbers, unit: str) -> list[str]:
    budgets = [budget for group in section.groups for budget in group.budgets]
    unequal = max(budgets) > 1.05 * min(budgets)
    longest = max(float(series.hours[-1]) for group in section.groups for series in group.series)
    scale, time_name = time_unit(longest)
    header = ["", "seeds", f"{unit} (each)", f"{time_name} (each)", "final mean"]
    header += [f"final interquartile mean ({_PERCENT})"]
    header += [f"interquartile mean at {section.common_steps:,.0f} {unit} ({_PERCENT})"] if unequal else []
    rows = []
    for group in section.groups:
        times = [float(series.hours[-1]) * scale for series in group.series]
        row = [group.name, str(len(group.finals)), _range(group.budgets, ",.0f"), _range(times, ".1f")]
        row += [_score(group.mean.point), _with_interval(group.iqm)]
        if unequal:
            row.append("no result yet" if group.equal_steps is None else _with_interval(group.equal_steps))
        rows.append(row)
    return [*_table(header, rows), ""]


def _threshold_table(section: SectionNumbers, unit: str, smoothing: int) -> list[str]:
    reference = next((group for group in section.groups if group.name == section.reference), None)
    header = ["", f"{unit} to {section.threshold:.4g}: median ({_PERCENT})", "by seed"]
    header += [f"ratio to {reference.name} ({_PERCENT})"] if reference is not None else []
    rows = []
    for group in section.groups:
        by_seed = [
            f"{_seed(run)}: {steps:,.0f}" if math.isfinite(steps) else f"{_seed(run)}: not within {budget:,.0f}"
            for run, steps, budget in zip(group.group.runs, group.reached, group.budgets, strict=True)
        ]
        row = [group.name, steps_to_threshold(group), "; ".join(by_seed)]
        if reference is not None:
            row.append("1" if group is reference else ratio(group, reference))
        rows.append(row)
    rule = f"Threshold: {section.threshold:.4g}, {section.threshold_rule}."
    if smoothing:
        rule += f" Only means over {smoothing} episodes or more count as having reached it, and a run's last one."
    return [rule, "", *_table(header, rows), ""]


def _what_was_compared(section: SectionNumbers) -> list[str]:
    lines = ["What was compared:", ""]
    settings = section.section.runs[0].env_config
    lines.append(f"- environment settings: {settings if settings else 'none, the defaults'}")
    for group in section.groups:
        runs = group.group.runs
        seeds = ", ".join("unseeded" if run.seed is None else str(run.seed) for run in runs)
        algorithm = "" if group.name == runs[0].algorithm else f" ({runs[0].algorithm})"
        presets = sorted({name for run in runs for name in run.settings.get("presets") or []})
        extras = [f"preset {', '.join(presets)}"] if presets else []
        extras += sorted({f"Ray {run.versions['ray']}" for run in runs if "ray" in run.versions})
        lines.append(f"- {group.name}{algorithm}: seeds {seeds}" + "".join(f"; {extra}" for extra in extras))
        lines += [f"    - `{run.folder}`" for run in runs]
    hosts = sorted({run.host for run in section.section.runs if run.host})
    lines.append(f"- wall-clock as each run measured it, on {', '.join(hosts) or 'machines the results do not name'}")
    lines += [f"- {note}" for note in section.section.notes]
    return [*lines, ""]


def _aggregate(aggregate: Aggregate, files: Sequence[str]) -> list[str]:
    scales = "; ".join(
        f"{environment}: {aggregate.zero[environment]:.4g} and {aggregate.one[environment]:.4g}"
        for environment in aggregate.environments
    )
    rows = [
        [name, str(aggregate.seeds[name]), _score(aggregate.mean[name].point), _with_interval(aggregate.iqm[name])]
        for name in aggregate.iqm
    ]
    lines = [
        f"## {len(aggregate.environments)} environments together",
        "",
        f"![All environments]({files[0]})",
        "",
        "Final scores, normalised by environment: 0 is the worst group's mean first result, 1 the best group's mean "
        f"final score ({scales}).",
        "",
        *_table(["", "seeds", "mean", f"interquartile mean ({_PERCENT}, stratified)"], rows),
        "",
    ]
    if aggregate.probabilities:
        pairs = [[a, b, _with_interval(value)] for (a, b), value in aggregate.probabilities.items()]
        lines += [*_table(["", "better than", f"probability ({_PERCENT})"], pairs), ""]
    return lines + [f"- {note}" for note in aggregate.notes] + [""]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return lines + ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]


def _with_interval(estimate: Estimate) -> str:
    return f"{_score(estimate.point)} ({_interval(estimate, _score, '')})"


def _interval(estimate: Estimate, show: Any, infinite: str) -> str:
    if estimate.low is None or estimate.high is None:
        return _NO_INTERVAL
    low, high = (infinite if math.isinf(bound) else show(bound) for bound in (estimate.low, estimate.high))
    return f"{low} to {high}"


def _score(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.1f}"


def _range(values: Sequence[float], pattern: str) -> str:
    low, high = format(min(values), pattern), format(max(values), pattern)
    return low if low == high else f"{low} to {high}"


def _seed(run: Run) -> str:
    return "unseeded" if run.seed is None else f"seed {run.seed}"
