"""`rllib compare`: results on disk become one report."""

import dataclasses
import importlib.metadata
import shlex
from collections.abc import Sequence
from typing import Any

from rllib_mamba.cli.errors import CommandError, UsageError
from rllib_mamba.cli.options import CompareOptions
from rllib_mamba.cli.output import clear, prepare_folder, require_reports
from rllib_mamba.reports.comparison import STATISTICS, Comparison, Method, SectionNumbers, compare
from rllib_mamba.reports.errors import ReportError
from rllib_mamba.reports.groups import Allowed, read_all, sections
from rllib_mamba.reports.metrics import default_metric, in_words, measured_on, resolve_metric
from rllib_mamba.reports.report import REPORT_FILE, ratio, steps_to_threshold, write_report
from rllib_mamba.reports.statistics import Bootstrap
from rllib_mamba.reports.tables import CURVES_FILE, JSON_FILE, RUNS_FILE, write_numbers

_WRITTEN = (REPORT_FILE, JSON_FILE, RUNS_FILE, CURVES_FILE)
_DRAWN = ("learning_curves*", "scores_and_steps*", "all_environments*")


def compare_results(paths: Sequence[str], options: CompareOptions) -> int:
    """Runs `rllib compare`; returns the exit code.

    Raises CommandError, in one line, for results that cannot be read or compared.
    """
    if options.statistic not in STATISTICS:
        raise UsageError(f"--statistic: {options.statistic!r} is none of {', '.join(STATISTICS)}.")
    require_reports("rllib compare", "matplotlib", "rliable")
    prepare_folder(options.out, options.overwrite)
    allowed = Allowed(
        env_config=options.allow_different_env_config,
        step_units=options.allow_different_step_units,
        equal_seeds=options.allow_equal_seeds,
    )
    try:
        runs, notes = read_all(paths)
        made = sections(runs, allowed)
        metric = resolve_metric(options.metric, runs) if options.metric else default_metric(runs)
        comparison = compare(made, _method(metric, options), notes)
    except ReportError as error:
        raise CommandError(str(error)) from error
    _write(comparison, paths, options)
    for section in comparison.sections:
        print(_summary(section, metric))
    for note in [*comparison.notes, *(note for section in made for note in section.notes)]:
        print(f"note: {note}")
    print(f"written to {options.out}: {REPORT_FILE}, {JSON_FILE}, figures as PNG and SVG")
    return 0


def _method(metric: str, options: CompareOptions) -> Method:
    return Method(
        metric=metric,
        statistic=options.statistic,
        smoothing=options.smoothing,
        final_share=options.final_share,
        threshold=options.threshold,
        reference=options.reference,
        lower_is_better=options.lower_is_better,
        bootstrap=Bootstrap(options.resamples),
    )


def _write(comparison: Comparison, paths: Sequence[str], options: CompareOptions) -> None:
    from rllib_mamba.reports.figures import draw

    made_with: dict[str, Any] = {
        "command": _command(paths, options),
        "versions": {name: importlib.metadata.version(name) for name in ("rllib-mamba", "rliable", "matplotlib")},
    }
    try:
        # An earlier report may have had more figures.
        clear(options.out, (*_WRITTEN, *_DRAWN))
        figures = draw(comparison, options.out)
        write_numbers(comparison, made_with, options.out)
        write_report(comparison, figures, made_with, options.out)
    except OSError as error:
        raise CommandError(f"--out: {options.out} cannot be written ({error.strerror}).") from error


def _command(paths: Sequence[str], options: CompareOptions) -> str:
    words = ["rllib", "compare", *paths]
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if value != field.default and field.name != "verbose":
            words += [f"--{field.name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return shlex.join(words)


def _summary(section: SectionNumbers, metric: str) -> str:
    reference = next((group for group in section.groups if group.name == section.reference), None)
    lines = [f"{section.section.environment}: {in_words(metric)}, {measured_on(metric)}"]
    for group in section.groups:
        parts = [f"final {group.iqm.point:.4g}"]
        if group.iqm.low is not None and group.iqm.high is not None:
            parts[0] += f" [{group.iqm.low:.4g}, {group.iqm.high:.4g}]"
        parts.append(f"steps to {section.threshold:.3g}: {steps_to_threshold(group)}")
        if reference is not None and group is not reference:
            parts.append(f"{reference.name} x {ratio(group, reference)}")
        seeds = len(group.finals)
        lines.append(f"  {group.name} ({seeds} seed{'s' if seeds > 1 else ''}): " + "; ".join(parts))
    return "\n".join(lines)
