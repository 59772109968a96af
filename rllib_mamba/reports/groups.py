"""Runs that belong together: one section for each environment, in it one group for each algorithm or label."""

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rllib_mamba.reports.errors import ReportError
from rllib_mamba.reports.reading import find_results, read_run
from rllib_mamba.reports.runs import Run

KNOWN_ORDER = ("MAMBA", "MAPPO", "QMIX")
_NOT_SETTINGS = {"seed", "env", "env_config", "agent_spaces", "policy_mapping_fn", "policies", "callbacks", "class"}
_NO_SETTING = "not given"


@dataclass(frozen=True)
class Allowed:
    """Differences between runs that are errors unless they are allowed."""

    env_config: bool = False
    step_units: bool = False
    equal_seeds: bool = False


@dataclass(frozen=True)
class Group:
    """The runs of one algorithm, or label, on one environment."""

    name: str
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Section:
    """All that is compared on one environment, with what was noticed about it."""

    environment: str
    groups: tuple[Group, ...]
    notes: tuple[str, ...]

    @property
    def runs(self) -> list[Run]:
        """The runs of all groups."""
        return [run for group in self.groups for run in group.runs]


def read_all(arguments: Iterable[str]) -> tuple[list[Run], list[str]]:
    """Reads the runs of `arguments`, each a path or NAME=PATH; returns them with notes.

    Raises ReportError where a path has no results, cannot be read, or is given twice.
    """
    runs: list[Run] = []
    notes: list[str] = []
    given: dict[Path, str] = {}
    for argument in arguments:
        label, path = _label_and_path(argument)
        found = 0
        for file in find_results(path):
            if file.resolve() in given:
                raise ReportError(f"{file.parent} is given twice, by {given[file.resolve()]!r} and {argument!r}.")
            given[file.resolve()] = argument
            run = read_run(file, label)
            if run is None:
                notes.append(f"{file.parent} has no result yet and was left out.")
                continue
            found += 1
            runs.append(run)
            notes += run.notes
        if not found:
            raise ReportError(f"{path} has no results: its result files are empty.")
    return runs, notes


def sections(runs: Sequence[Run], allowed: Allowed) -> list[Section]:
    """Groups `runs` by environment and name.

    Raises ReportError for differences that make a comparison wrong: other settings of the same environment, other step
    units, one run under two folders, one seed twice.
    """
    made = []
    _check_step_units(runs, allowed)
    environments = sorted({run.environment for run in runs})
    for environment in environments:
        members = [run for run in runs if run.environment == environment]
        notes = _check_env_configs(environment, members, allowed)
        groups = []
        for name in sorted({run.name for run in members}, key=_order):
            of_group = sorted((run for run in members if run.name == name), key=_seed_order)
            _check_copies(name, of_group)
            notes += _check_seeds(name, of_group, allowed)
            notes += [f"{name}: {line}" for line in _differing_settings(of_group)]
            groups.append(Group(name, tuple(of_group)))
        if len(groups) == 1 and len(environments) > 1:
            notes.append(f"Only {groups[0].name} has results on {environment}: it is compared with nothing there.")
        made.append(Section(environment, tuple(groups), tuple(notes)))
    return made


def _label_and_path(argument: str) -> tuple[str | None, Path]:
    # Tune writes parameters into folder names: lr=0.001.
    path = Path(argument).expanduser()
    if path.exists() or "=" not in argument:
        return None, path
    label, _, rest = argument.partition("=")
    if not label.strip() or "/" in label:
        return None, path
    return label.strip(), Path(rest).expanduser()


def _order(name: str) -> tuple[int, str]:
    return (KNOWN_ORDER.index(name) if name in KNOWN_ORDER else len(KNOWN_ORDER), name)


def _seed_order(run: Run) -> tuple[bool, int, str]:
    return (run.seed is None, run.seed or 0, str(run.folder))


def _check_step_units(runs: Sequence[Run], allowed: Allowed) -> None:
    first = runs[0]
    other = next((run for run in runs if run.step_unit != first.step_unit), None)
    if other is not None and not allowed.step_units:
        raise ReportError(
            f"{first.folder} counts {first.step_unit}, {other.folder} counts {other.step_unit}: they are not on one "
            "axis. Compare them apart, or give --allow-different-step-units."
        )


def _check_env_configs(environment: str, runs: Sequence[Run], allowed: Allowed) -> list[str]:
    first = runs[0]
    for run in runs[1:]:
        differences = _differences(first.env_config, run.env_config)
        if not differences:
            continue
        listed = "; ".join(f"{key}: {one} and {other}" for key, one, other in differences)
        if not allowed.env_config:
            raise ReportError(
                f"{first.folder} and {run.folder} are both {environment}, with different settings ({listed}): compare "
                "them apart, or give --allow-different-env-config."
            )
        return [f"The settings of {environment} differ between runs ({listed}); this was allowed."]
    return []


def _check_copies(name: str, runs: Sequence[Run]) -> None:
    for one, other in itertools.combinations(runs, 2):
        # Results hold times of day: two trainings never agree in all numbers.
        if _same_numbers(one, other):
            raise ReportError(f"{name}: {one.folder} and {other.folder} are the same run; give it once.")


def _same_numbers(one: Run, other: Run) -> bool:
    return one.metrics == other.metrics and all(
        np.array_equal(one.columns[metric], other.columns[metric], equal_nan=True) for metric in one.metrics
    )


def _check_seeds(name: str, runs: Sequence[Run], allowed: Allowed) -> list[str]:
    by_seed: dict[int, Run] = {}
    for run in runs:
        if run.seed is None:
            continue
        other = by_seed.setdefault(run.seed, run)
        if other is run:
            continue
        if not allowed.equal_seeds:
            raise ReportError(
                f"{name}: {other.folder} and {run.folder} have the same seed {run.seed}. Where they are different "
                "things, label them: NAME=PATH; else leave one out, or give --allow-equal-seeds."
            )
        return [f"{name}: several runs have the seed {run.seed}; this was allowed. Intervals take them as independent."]
    return []


def _differing_settings(runs: Sequence[Run]) -> list[str]:
    """Lines about the settings, other than seeds, that are not the same in all runs of a group."""
    lines = []
    flat = [_comparable(run.settings) for run in runs]
    for key in sorted(set().union(*flat)):
        values = list(dict.fromkeys(settings.get(key, _NO_SETTING) for settings in flat))
        if len(values) > 1:
            lines.append(f"`{key}` differs between its runs: {', '.join(values)}.")
    return lines


def _comparable(settings: Mapping[str, Any]) -> dict[str, str]:
    texts = {key: _text(value) for key, value in settings.items() if key not in _NOT_SETTINGS}
    # Private settings and addresses of objects say nothing about what was trained.
    return {key: text for key, text in texts.items() if not key.startswith("_") and " object at 0x" not in text}


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    keys = sorted({*one, *other})
    texts = [(key, *(_text(s[key]) if key in s else _NO_SETTING for s in (one, other))) for key in keys]
    return [(key, first, second) for key, first, second in texts if first != second]


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
