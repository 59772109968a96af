"""The figures of a comparison; every one says what its lines, bands and points are."""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rllib_mamba.reports.comparison import Aggregate, Comparison, GroupNumbers, Method, SectionNumbers
from rllib_mamba.reports.metrics import in_words, measured_on
from rllib_mamba.reports.runs import HOURS, STEPS
from rllib_mamba.reports.statistics import CONFIDENCE, Estimate
from rllib_mamba.reports.style import GREY, SETTINGS, colours, dashes, markers, save, thousands, time_unit

_WIDTH = 7.2
_LABEL_CHARACTERS = 30
_NAMES = {"iqm": "interquartile mean", "mean": "mean"}


def draw(comparison: Comparison, folder: Path) -> dict[str, list[str]]:
    """Draws all figures into `folder`; returns the file names by what they show and the number of the section."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(group.name for section in comparison.sections for group in section.groups))
    palette, styles, shapes = colours(names), dashes(names), markers(names)
    files = {}
    with plt.rc_context(SETTINGS):
        for index, section in enumerate(comparison.sections, start=1):
            suffix = f"_{index}" if len(comparison.sections) > 1 else ""
            curves = _learning_curves(section, comparison.method, palette, styles)
            files[f"curves{index}"] = save(curves, folder, f"learning_curves{suffix}")
            scores = _scores_and_steps(section, comparison.method, palette, shapes)
            files[f"scores{index}"] = save(scores, folder, f"scores_and_steps{suffix}")
        if comparison.aggregate is not None:
            files["aggregate"] = save(_aggregate(comparison.aggregate, palette, shapes), folder, "all_environments")
    return files


def _learning_curves(section: SectionNumbers, method: Method, palette: dict[str, str], styles: dict[str, Any]) -> Any:
    import matplotlib.pyplot as plt
    from matplotlib.patheffects import withStroke
    from matplotlib.ticker import FuncFormatter

    figure, (left, right) = plt.subplots(1, 2, figsize=(_WIDTH, 2.9), sharey=True, layout="constrained")
    unit = section.section.runs[0].step_unit
    longest = max(float(series.hours[-1]) for group in section.groups for series in group.series)
    scale, time_name = time_unit(longest)
    for axes, axis, factor in ((left, STEPS, 1.0), (right, HOURS, scale)):
        for group in section.groups:
            _curve(axes, group, axis, factor, palette[group.name], styles[group.name])
        axes.axhline(section.threshold, color=GREY, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
        axes.set_xlim(left=0)
    label = left.text(
        0.01, section.threshold, "threshold", transform=left.get_yaxis_transform(), color=GREY, fontsize=7, va="bottom"
    )
    # Legible where curves pass behind it.
    label.set(path_effects=[withStroke(linewidth=2, foreground="white")], zorder=4)
    left.xaxis.set_major_formatter(FuncFormatter(thousands))
    left.set_xlabel(unit.capitalize() if unit != "timesteps_total" else unit)
    right.set_xlabel(f"Wall-clock ({time_name})")
    left.set_ylabel(_in_lines(_sentence(in_words(method.metric))))
    left.set_title(f"{section.section.environment}, {measured_on(method.metric)}", loc="left")
    _legend(figure, section.groups, left)
    caption(figure, _curve_caption(section, method))
    return figure


def _curve(axes: Any, group: GroupNumbers, axis: str, factor: float, colour: str, style: Any) -> None:
    for series in group.series:
        if len(group.series) > 1:
            axes.plot(series.along(axis) * factor, series.values, color=colour, linewidth=0.6, alpha=0.4)
    curve = group.curves[axis]
    seeds = len(group.series)
    label = f"{group.name} ({seeds} seed{'s' if seeds > 1 else ''})"
    if curve is None:
        axes.plot([], [], color=colour, linewidth=1.8, linestyle=style, label=label)
        return
    if curve.low is not None and curve.high is not None:
        axes.fill_between(curve.x * factor, curve.low, curve.high, color=colour, alpha=0.18, linewidth=0)
    # One result makes no line.
    marker = "o" if len(curve.x) == 1 else None
    axes.plot(curve.x * factor, curve.center, color=colour, linewidth=1.8, linestyle=style, marker=marker, label=label)


def _curve_caption(section: SectionNumbers, method: Method) -> str:
    several = [group for group in section.groups if len(group.series) > 1]
    parts = []
    if several:
        parts.append(
            f"Thick line: {_NAMES[method.statistic]} over seeds, as far as all seeds go. "
            f"Band: {percent()} bootstrap interval over seeds. Thin lines: single seeds."
        )
    if len(several) < len(section.groups):
        parts.append("One seed: no interval.")
    parts.append(_smoothing(method))
    return " ".join(parts)


def _scores_and_steps(section: SectionNumbers, method: Method, palette: dict[str, str], shapes: dict[str, str]) -> Any:
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FuncFormatter

    groups = section.groups
    height = 1.3 + 0.42 * len(groups)
    figure, (left, right) = plt.subplots(1, 2, figsize=(_WIDTH, height), sharey=True, layout="constrained")
    for row, group in enumerate(groups):
        look = {"color": palette[group.name], "marker": shapes[group.name]}
        _points(left, group.finals, row, look)
        _estimate(left, group.iqm, row, look)
        _reached(right, section, group, row, look)
    left.set_yticks(range(len(groups)), [_with_seeds(group) for group in groups])
    left.set_ylim(len(groups) - 0.4, -0.6)
    left.axvline(section.threshold, color=GREY, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
    left.set_xlabel(_sentence(in_words(method.metric)))
    left.set_title("Final score", loc="left")
    right.set_title(f"Steps until {section.threshold:.3g} is reached", loc="left")
    right.set_xlabel(section.section.runs[0].step_unit.capitalize())
    steps = [value for group in groups for value in (*group.reached, *group.budgets) if math.isfinite(value)]
    if min(steps) > 0 and max(steps) / min(steps) > 20:
        right.set_xscale("log")
        right.set_xlim(right=max(steps) * 1.25)
    else:
        right.set_xlim(0, max(steps) * 1.08)
        right.xaxis.set_major_formatter(FuncFormatter(thousands))
    for axes in (left, right):
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
    figure.suptitle(f"{section.section.environment}, {measured_on(method.metric)}", fontsize=10)
    caption(figure, _scores_caption(section, method))
    return figure


def _scores_caption(section: SectionNumbers, method: Method) -> str:
    parts = ["Small: single seeds."]
    if any(len(group.series) > 1 for group in section.groups):
        parts.append(f"Large: interquartile mean (left), median (right); bar: {percent()} bootstrap interval.")
    if any(len(group.series) == 1 for group in section.groups):
        parts.append("One seed: no interval.")
    if any(math.isinf(value) for group in section.groups for value in group.reached):
        parts.append("Arrow: not reached by the end of the run.")
    parts.append(f"Final score: mean over the last {100 * method.final_share:g} % of a run's steps.")
    return " ".join(parts)


def _reached(axes: Any, section: SectionNumbers, group: GroupNumbers, row: int, look: dict[str, str]) -> None:
    for steps, budget in zip(group.reached, group.budgets, strict=True):
        if math.isfinite(steps):
            _points(axes, [steps], row, look)
        else:
            axes.annotate(
                "",
                xy=(1.0, row),
                xycoords=axes.get_yaxis_transform(),
                xytext=(budget, row),
                textcoords="data",
                arrowprops={"arrowstyle": "->", "color": look["color"], "linewidth": 1.0},
            )
            axes.plot([budget], [row], marker="|", markersize=8, color=look["color"])
    if math.isfinite(group.median_reached.point):
        _estimate(axes, group.median_reached, row, look)


def _aggregate(aggregate: Aggregate, palette: dict[str, str], shapes: dict[str, str]) -> Any:
    import matplotlib.pyplot as plt

    names = list(aggregate.iqm)
    rows = max(len(names), len(aggregate.probabilities))
    figure, (left, right) = plt.subplots(1, 2, figsize=(_WIDTH, 1.4 + 0.42 * rows), layout="constrained")
    for row, name in enumerate(names):
        _estimate(left, aggregate.iqm[name], row, {"color": palette[name], "marker": shapes[name]})
    left.set_yticks(range(len(names)), [f"{name} ({aggregate.seeds[name]} seeds)" for name in names])
    left.set_ylim(len(names) - 0.4, -0.6)
    left.set_xlabel("Normalised score (0: untrained, 1: best)")
    left.set_title("Interquartile mean", loc="left")
    for row, ((a, _), estimate) in enumerate(aggregate.probabilities.items()):
        _estimate(right, estimate, row, {"color": palette[a], "marker": shapes[a]})
    right.set_yticks(range(len(aggregate.probabilities)), [f"{a} over {b}" for a, b in aggregate.probabilities])
    right.set_ylim(len(aggregate.probabilities) - 0.4, -0.6)
    right.axvline(0.5, color=GREY, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
    right.set_xlim(0, 1)
    right.set_xlabel("Probability that a run is better")
    right.set_title("Probability of improvement", loc="left")
    for axes in (left, right):
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
    figure.suptitle(f"{len(aggregate.environments)} environments together", fontsize=10)
    caption(figure, f"Over {', '.join(aggregate.environments)}. Bar: {percent()} stratified bootstrap interval.")
    return figure


def _points(axes: Any, values: Sequence[float], row: int, look: dict[str, str]) -> None:
    axes.plot(values, [row] * len(values), linestyle="none", markersize=4, alpha=0.45, markeredgewidth=0, **look)


def _estimate(axes: Any, estimate: Estimate, row: int, look: dict[str, str]) -> None:
    if estimate.low is not None and estimate.high is not None:
        right = axes.get_xlim()[1] if math.isinf(estimate.high) else estimate.high
        low = estimate.point if math.isinf(estimate.low) else estimate.low
        axes.plot([low, max(right, low)], [row, row], color=look["color"], linewidth=2.2, solid_capstyle="butt")
    axes.plot([estimate.point], [row], markersize=7, markeredgecolor="white", markeredgewidth=0.8, zorder=4, **look)


def _legend(figure: Any, groups: Sequence[GroupNumbers], axes: Any) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", ncols=min(4, len(groups)), handlelength=2.8, fontsize=8.5
    )


def caption(figure: Any, text: str, characters: int = 142) -> None:
    """Puts a caption under `figure`, in lines of so many characters, by default as wide as a page."""
    lines = textwrap.fill(text, characters)
    figure.supxlabel(lines, fontsize=7, color=GREY, x=0.01, ha="left")


def _with_seeds(group: GroupNumbers) -> str:
    seeds = len(group.series)
    return f"{group.name} ({seeds} seed{'s' if seeds > 1 else ''})"


def _smoothing(method: Method) -> str:
    if not method.smoothing:
        return "No smoothing beyond the averages that the results hold."
    return f"Each value is the mean over the last results that hold {method.smoothing} episodes, or all until then."


def percent() -> str:
    """The coverage of intervals, for a caption."""
    return f"{100 * CONFIDENCE:g} %"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _in_lines(label: str) -> str:
    """A label no longer than a small panel is high, what is in parentheses in a line of its own."""
    return "\n".join(textwrap.fill(part, _LABEL_CHARACTERS) for part in label.replace(" (", "\n(").split("\n"))
