"""The table at the end of a sweep: what differs between trials, and what they reached, the best first."""

import enum
import math
from collections.abc import Mapping, Sequence
from typing import Any

from rllib_mamba.cli.outcome import TrialOutcome
from rllib_mamba.cli.progress import ENV_STEPS, ITERATION
from rllib_mamba.cli.settings import flatten

_SEED = "seed"
_MISSING = "-"


def differing_settings(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns the settings that are not the same in all that are known, their levels joined by dots.

    The settings of a trial without results are not known, and empty.
    """
    known = [config for config in configs if config]
    flat = [{name.replace("/", "."): value for name, value in flatten(config).items()} for config in known]
    names = dict.fromkeys(name for one in flat for name in one if not name.startswith("_") and _is_plain(one[name]))
    return [name for name in names if len({repr(_comparable(one.get(name))) for one in flat}) > 1]


def is_sweep(outcomes: Sequence[TrialOutcome]) -> bool:
    """Says whether trials differ in more than their seeds."""
    return bool(set(differing_settings([outcome.config for outcome in outcomes])) - {_SEED})


def ranked(outcomes: Sequence[TrialOutcome], mode: str) -> list[TrialOutcome]:
    """Returns the trials, the best first and those without a score last."""

    def key(outcome: TrialOutcome) -> float:
        if outcome.score is None or math.isnan(outcome.score):
            return math.inf
        return -outcome.score if mode == "max" else outcome.score

    return sorted(outcomes, key=key)


def sweep_table(outcomes: Sequence[TrialOutcome], metric: str, mode: str) -> list[str]:
    """Returns the lines of the table, with columns that are as wide as they need to be."""
    settings = differing_settings([outcome.config for outcome in outcomes])
    header = ["trial", *settings, f"best {metric.rpartition('/')[2]}", "at", "env steps", "iterations", "state"]
    rows = [header, *(_row(outcome, settings) for outcome in ranked(outcomes, mode))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [f"{len(outcomes)} trials, by their best {metric} ({mode}):", *(f"  {line}" for line in lines)]


def _row(outcome: TrialOutcome, settings: Sequence[str]) -> list[str]:
    flat = {name.replace("/", "."): value for name, value in flatten(outcome.config).items()}
    result = flatten(outcome.result)
    state = "failed" if outcome.error is not None else "ended" if result.get("done") else "unfinished"
    counts = (outcome.score_step, result.get(ENV_STEPS, result.get(f"env_runners/{ENV_STEPS}")), result.get(ITERATION))
    return [
        outcome.trial_id,
        *(_shown(flat.get(name)) if flat else _MISSING for name in settings),
        _MISSING if outcome.score is None else f"{outcome.score:.4g}",
        *(_MISSING if count is None else f"{int(count):,}" for count in counts),
        state,
    ]


def _comparable(value: Any) -> Any:
    # Settings of trials from before an interruption have been JSON in between: tuples are lists, enums text.
    if isinstance(value, enum.Enum):
        return value.value
    return [_comparable(part) for part in value] if isinstance(value, list | tuple) else value


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(part) for part in value)
    return value is None or isinstance(value, bool | int | float | str)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_shown(part) for part in value)}]"
    return str(value)
