"""Everything a comparison says, as numbers: curves, final scores, steps to a threshold, aggregates."""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rllib_mamba.reports.errors import ReportError, nearest_first
from rllib_mamba.reports.groups import Group, Section
from rllib_mamba.reports.metrics import unlike_returns
from rllib_mamba.reports.runs import HOURS, STEPS, Series
from rllib_mamba.reports.statistics import Bootstrap, Curve, Estimate, common_grid, first_reached

STATISTICS = ("iqm", "mean")
DEFAULT_REFERENCE = "MAMBA"
DEFAULT_SHARE = 0.8


@dataclass(frozen=True)
class Method:
    """How runs are reduced to numbers.

    `smoothing` is the episodes that each value is averaged over, `final_share` the last part of a run's steps that its
    final score is the mean of, after smoothing; `threshold` a score or None for 80 % of the best one.
    """

    metric: str
    statistic: str = "iqm"
    smoothing: int = 50
    final_share: float = 0.1
    threshold: float | None = None
    reference: str | None = None
    lower_is_better: bool = False
    bootstrap: Bootstrap = dataclasses.field(default_factory=Bootstrap)


@dataclass(frozen=True)
class GroupNumbers:
    """What one group came to; lists are by seed, in the order of its runs.

    `equal_steps` is the score at the env steps that all runs of the section have; `reached` are env steps to the
    threshold, infinite where it was not reached within `budgets`; `ratio` divides by those of the reference.
    """

    group: Group
    series: tuple[Series, ...]
    curves: dict[str, Curve | None]
    finals: tuple[float, ...]
    mean: Estimate
    iqm: Estimate
    equal_steps: Estimate | None
    reached: tuple[float, ...]
    budgets: tuple[float, ...]
    median_reached: Estimate
    ratio: Estimate | None

    @property
    def name(self) -> str:
        """The group's name."""
        return self.group.name


@dataclass(frozen=True)
class SectionNumbers:
    """One environment; `threshold_rule` says where the threshold comes from."""

    section: Section
    groups: tuple[GroupNumbers, ...]
    threshold: float
    threshold_rule: str
    common_steps: float
    reference: str | None


@dataclass(frozen=True)
class Aggregate:
    """Scores over environments, normalised so that `zero` and `one` of each environment become 0 and 1.

    `probabilities` maps (a, b) to how probably a run of a beats one of b.
    """

    environments: tuple[str, ...]
    zero: dict[str, float]
    one: dict[str, float]
    seeds: dict[str, int]
    iqm: dict[str, Estimate]
    mean: dict[str, Estimate]
    probabilities: dict[tuple[str, str], Estimate]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """The whole comparison; `aggregate` only over two or more environments."""

    method: Method
    sections: tuple[SectionNumbers, ...]
    aggregate: Aggregate | None
    notes: tuple[str, ...]


def compare(sections: Sequence[Section], method: Method, notes: Sequence[str] = ()) -> Comparison:
    """Computes the comparison.

    Raises ReportError where a reference is unknown or runs count their returns differently.
    """
    names = list(dict.fromkeys(group.name for section in sections for group in section.groups))
    if method.reference is not None and method.reference not in names:
        nearest = nearest_first(method.reference, names)
        raise ReportError(f"--reference {method.reference} is none of what is compared: {', '.join(nearest)}.")
    for section in sections:
        if unlike_returns(method.metric, section.runs):
            conventions = "; ".join(f"{group.name}: {group.runs[0].return_convention}" for group in section.groups)
            raise ReportError(
                f"{method.metric} is counted differently on {section.environment} ({conventions}); choose another "
                "with --metric, such as agent_return_mean."
            )
    numbers = tuple(_section(section, method) for section in sections)
    aggregate = _aggregate(numbers, method) if len(numbers) > 1 else None
    return Comparison(method, numbers, aggregate, tuple(notes))


def _section(section: Section, method: Method) -> SectionNumbers:
    by_group = [tuple(run.series(method.metric, method.smoothing) for run in group.runs) for group in section.groups]
    common_steps = min(float(series.steps[-1]) for group in by_group for series in group)
    averages = [float(np.mean([_final(series, method) for series in group])) for group in by_group]
    starts = [float(np.mean([series.values[0] for series in group])) for group in by_group]
    threshold, rule = _threshold(method, averages, starts)
    reference = _reference(section, method)
    reached = [
        np.array([first_reached(s.steps, _good_enough(s, threshold, method)) for s in group]) for group in by_group
    ]
    of_reference = next(
        (steps for steps, group in zip(reached, section.groups, strict=True) if group.name == reference), None
    )
    groups = tuple(
        _group(group, series, steps, None if group.name == reference else of_reference, common_steps, method)
        for group, series, steps in zip(section.groups, by_group, reached, strict=True)
    )
    if not method.lower_is_better and threshold <= min(starts):
        rule += ", which is no more than what was scored at the beginning: give a higher --threshold"
    return SectionNumbers(section, groups, threshold, rule, common_steps, reference)


def _group(
    group: Group,
    series: tuple[Series, ...],
    reached: np.ndarray,
    reference: np.ndarray | None,
    common_steps: float,
    method: Method,
) -> GroupNumbers:
    finals = [_final(one, method) for one in series]
    mean, iqm = method.bootstrap.estimates(np.array(finals)[:, None], _mean_and_iqm)
    at_common = [_score_at(one, common_steps, method) for one in series]
    equal_steps = None
    if not np.isnan(at_common).any():
        equal_steps = method.bootstrap.estimates(np.array(at_common)[:, None], _mean_and_iqm)[1]
    return GroupNumbers(
        group=group,
        series=series,
        curves={axis: _curve(series, axis, method) for axis in (STEPS, HOURS)},
        finals=tuple(finals),
        mean=mean,
        iqm=iqm,
        equal_steps=equal_steps,
        reached=tuple(map(float, reached)),
        budgets=tuple(float(one.steps[-1]) for one in series),
        median_reached=method.bootstrap.median(reached),
        ratio=None if reference is None else method.bootstrap.ratio_of_medians(reached, reference),
    )


def _mean_and_iqm(scores: np.ndarray) -> np.ndarray:
    from rliable import metrics

    return np.array([metrics.aggregate_mean(scores), metrics.aggregate_iqm(scores)])


def _final(series: Series, method: Method) -> float:
    return _score_at(series, float(series.steps[-1]), method)


def _score_at(series: Series, steps: float, method: Method) -> float:
    """The mean of the last results until `steps`, over `final_share` of them; NaN where there is none yet."""
    until = series.steps <= steps
    if not until.any():
        return math.nan
    window = until & (series.steps > steps * (1 - method.final_share))
    return float(series.values[window].mean() if window.any() else series.values[until][-1])


def _good_enough(series: Series, threshold: float, method: Method) -> np.ndarray:
    good = series.values <= threshold if method.lower_is_better else series.values >= threshold
    return good & series.settled


def _curve(series: Sequence[Series], axis: str, method: Method) -> Curve | None:
    if any(np.isnan(one.along(axis)).any() for one in series):
        return None
    if len(series) == 1:
        return Curve(series[0].along(axis), series[0].values)
    x = common_grid([one.along(axis) for one in series])
    if not len(x):
        return None
    values = np.stack([np.interp(x, one.along(axis), one.values) for one in series])
    return method.bootstrap.curve(x, values, method.statistic)


def _threshold(method: Method, finals: Sequence[float], starts: Sequence[float]) -> tuple[float, str]:
    if method.threshold is not None:
        return method.threshold, "as given"
    percent = f"{DEFAULT_SHARE:.0%}".replace("%", " %")
    if method.lower_is_better:
        best, start = min(finals), max(starts)
    else:
        best, start = max(finals), min(starts)
        if start >= 0:
            return DEFAULT_SHARE * best, f"{percent} of the best mean final score, {best:.4g}"
    # Where scores may be negative a share of one says nothing.
    value = start + DEFAULT_SHARE * (best - start)
    return (
        value,
        f"{percent} of the way from the worst mean first result, {start:.4g}, to the best final one, {best:.4g}",
    )


def _reference(section: Section, method: Method) -> str | None:
    names = [group.name for group in section.groups]
    if len(names) < 2:
        return None
    for name in (method.reference, DEFAULT_REFERENCE):
        if name in names:
            return name
    return names[0] if method.reference is None else None


def _aggregate(sections: Sequence[SectionNumbers], method: Method) -> Aggregate | None:
    names = [
        group.name
        for group in sections[0].groups
        if all(group.name in [other.name for other in section.groups] for section in sections)
    ]
    if not names:
        return None
    notes = []
    left_out = {group.name for section in sections for group in section.groups} - set(names)
    if left_out:
        notes.append(f"Not on every environment, and so left out: {', '.join(sorted(left_out))}.")
    zero, one, scores = {}, {}, {}
    for section in sections:
        environment = section.section.environment
        pick = (max, min) if method.lower_is_better else (min, max)
        zero[environment] = float(pick[0](np.mean([s.values[0] for s in group.series]) for group in section.groups))
        one[environment] = float(pick[1](group.mean.point for group in section.groups))
    flat = [environment for environment in zero if zero[environment] == one[environment]]
    if flat:
        notes.append(f"Nothing was learned on {', '.join(flat)}, whose scores could not be normalised: left out.")
    kept = [section for section in sections if section.section.environment not in flat]
    if len(kept) < 2:
        return None
    seeds = {}
    for name in names:
        finals = [[_normalised(v, zero, one, s.section.environment) for v in _by_name(s, name).finals] for s in kept]
        seeds[name] = min(map(len, finals))
        if max(map(len, finals)) > seeds[name]:
            notes.append(f"{name}: the first {seeds[name]} seeds of each environment, as many as all of them have.")
        scores[name] = np.array([values[: seeds[name]] for values in finals]).T
    iqm, mean = {}, {}
    for name in names:
        mean[name], iqm[name] = method.bootstrap.estimates(scores[name], _mean_and_iqm)
    probabilities = {
        (a, b): method.bootstrap.probability_of_improvement(scores[a], scores[b])
        for a, b in itertools.combinations(names, 2)
    }
    environments = tuple(section.section.environment for section in kept)
    return Aggregate(environments, zero, one, seeds, iqm, mean, probabilities, tuple(notes))


def _normalised(value: float, zero: dict[str, float], one: dict[str, float], environment: str) -> float:
    return (value - zero[environment]) / (one[environment] - zero[environment])


def _by_name(section: SectionNumbers, name: str) -> GroupNumbers:
    return next(group for group in section.groups if group.name == name)
