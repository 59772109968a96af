"""Reads what Tune, `rllib train` and RLlib leave in a results folder."""

import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rllib_mamba.reports.errors import ReportError
from rllib_mamba.reports.runs import AGENT_STEPS, ENV_STEPS, EVALUATION, HOURS, STEPS, TIMESTEPS_TOTAL, TRAINING, Run

RESULT_FILE = "result.json"
AGENT_RETURN = "agent_return_mean"
"""The mean over the agents of their returns, which every multi-agent run has: RLlib's own sums up all agents, teams
may average over their members."""

_STEP_COUNTERS = {
    "num_env_steps_sampled_lifetime": ENV_STEPS,
    "num_env_steps_sampled": ENV_STEPS,
    "timesteps_total": TIMESTEPS_TOTAL,
    "num_agent_steps_sampled_lifetime": AGENT_STEPS,
    "num_agent_steps_sampled": AGENT_STEPS,
}
_OLD_RETURNS = ("env_runners/episode_reward_mean", "sampler_results/episode_reward_mean", "episode_reward_mean")
_RETURN = "episode_return_mean"
_NOT_METRICS = re.compile(r"(^|/)(timers|connector|config|\w*connector\w*|perf|info)/")
_ENV_OF_TEAMS = re.compile(r"TeamSetup\(env=(?:'([^']*)'|\"([^\"]*)\"|<class '([^']*)'>|(.*?)), teams=")
_ALGORITHM_OF_CLASS = re.compile(r"\.(\w+?)Config'>")
_NAMESPACE = "rllib_mamba/"
_TEAM_SETUP = "team_env"


def find_results(path: Path) -> list[Path]:
    """Returns the result files at `path`: the file itself, that of a trial folder, or all below, links followed.

    Raises ReportError where there are none.
    """
    if path.is_file() and path.name.endswith(".json"):
        return [path]
    if not path.is_dir():
        remote = " Copy results of remote storage to a local folder first." if "://" in str(path) else ""
        raise ReportError(f"there is no results folder {path}.{remote}")
    files = sorted(_result_files_below(path))
    if not files:
        raise ReportError(
            f"{path} has no results: no {RESULT_FILE} in it or below; give a trial, experiment or results folder."
        )
    return files


def _result_files_below(path: Path) -> Iterator[Path]:
    """Each once, also where links make a circle or lead to one folder twice."""
    seen = set()
    for folder, inside, files in os.walk(path, followlinks=True):
        real = Path(folder).resolve()
        if real in seen:
            inside.clear()
            continue
        seen.add(real)
        inside[:] = sorted(name for name in inside if not name.startswith("checkpoint_"))
        if RESULT_FILE in files:
            yield Path(folder) / RESULT_FILE


def read_run(file: Path, label: str | None = None) -> Run | None:
    """Reads one result file with the `params.json` beside it; None where the run has not written a result yet.

    Raises ReportError for a line that is no result, naming file and line, and for results without a step counter.
    """
    rows, notes = _read_rows(file)
    if not rows:
        return None
    settings = _settings(file, rows)
    columns = _columns(_without_repeated_evaluations([dict(_numbers(row)) for row in rows]))
    counter = next((name for name in _STEP_COUNTERS if name in columns), None)
    if counter is None:
        raise ReportError(f"{file} has no counter of steps (num_env_steps_sampled_lifetime): not a result of RLlib.")
    columns[STEPS] = columns[counter]
    columns[HOURS] = columns.get("time_total_s", np.full(len(rows), np.nan)) / 3600
    _add_returns(columns)
    environment, env_config = _environment(file, settings)
    begin = columns[STEPS][0]
    if (rows[0].get("training_iteration") or 1) > 1:
        notes.append(f"{file.parent.name} begins at {begin:,.0f} steps: it was restored from a checkpoint.")
    averaged = settings.get("team_reward") == "mean"
    return Run(
        folder=file.parent.resolve(),
        algorithm=_algorithm(file, settings, environment),
        environment=environment,
        env_config=env_config,
        seed=settings.get("seed"),
        settings=settings,
        step_unit=_step_unit(counter, settings),
        return_convention="mean over a team's members" if averaged else "sum over all agents",
        columns=columns,
        versions=_versions(file.parent),
        host=rows[-1].get("hostname"),
        label=label,
        notes=tuple(notes),
    )


def _read_rows(file: Path) -> tuple[list[dict[str, Any]], list[str]]:
    notes: list[str] = []
    rows: list[dict[str, Any]] = []
    superseded = 0
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError as error:
        raise ReportError(f"{file} cannot be read ({error.strerror}).") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            if number == len(lines):
                notes.append(f"{file}: the last line is half-written and was left out.")
                break
            raise ReportError(
                f"{file}, line {number} is no result ({error.msg}, column {error.colno}); remove the line to go on."
            ) from None
        if not isinstance(row, dict):
            raise ReportError(f"{file}, line {number} is no result: expected a JSON object.")
        # A run that was resumed repeats what came after the checkpoint it went on from.
        iteration = row.get("training_iteration")
        while iteration is not None and rows and (rows[-1].get("training_iteration") or 0) >= iteration:
            rows.pop()
            superseded += 1
        rows.append(row)
    if superseded:
        notes.append(f"{file.parent.name} was resumed: {superseded} results it repeated later were left out.")
    return rows, notes


def _numbers(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Yields the numbers of a result with their names, levels joined by a slash; no NaN, timers or settings."""
    for key, value in node.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            if not _NOT_METRICS.search(f"{name}/"):
                yield from _numbers(value, f"{name}/")
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield name, float(value)


def _without_repeated_evaluations(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    """Leaves each evaluation to the result it was made for: RLlib repeats it in the results until the next."""
    kept = []
    previous: dict[str, float] = {}
    for row in rows:
        evaluation = {name: value for name, value in row.items() if name.startswith(EVALUATION)}
        # The rate of sampling is filled in later; two evaluations never agree in the time that episodes took.
        told = {name: value for name, value in evaluation.items() if "throughput" not in name}
        kept.append({name: value for name, value in row.items() if not (told == previous and name in evaluation)})
        previous = told
    return kept


def _columns(rows: list[dict[str, float]]) -> dict[str, np.ndarray]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: np.array([row.get(name, math.nan) for row in rows]) for name in names}


def _add_returns(columns: dict[str, np.ndarray]) -> None:
    """Adds RLlib's present name of the return to results of its old stack, and `AGENT_RETURN` to multi-agent ones."""
    for scope in (TRAINING, EVALUATION):
        level = scope.removesuffix(TRAINING)
        old = next((level + name for name in _OLD_RETURNS if level + name in columns), None)
        if old is not None:
            columns.setdefault(f"{scope}{_RETURN}", columns[old])
        for group in ("agent_returns/", "agent_episode_returns_mean/"):
            by_agent = [values for name, values in columns.items() if name.startswith(f"{scope}{group}")]
            if by_agent:
                # An agent that never appears has no return: the mean is over those that have.
                stacked = np.ma.masked_invalid(np.stack(by_agent))
                columns[f"{scope}{AGENT_RETURN}"] = stacked.mean(axis=0).filled(math.nan)
                break


def _settings(file: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    settings = rows[-1].get("config")
    if isinstance(settings, dict):
        return settings
    parameters = file.parent / "params.json"
    try:
        settings = json.loads(parameters.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ReportError(f"{parameters} cannot be read ({error}).") from error
    return settings if isinstance(settings, dict) else {}


def _environment(file: Path, settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    env_config = dict(settings.get("env_config") or {})
    setup = env_config.pop(_TEAM_SETUP, None)
    name = settings.get("env")
    if setup is not None and (match := _ENV_OF_TEAMS.search(str(setup))) is not None:
        name = next(group for group in match.groups() if group)
    if name is None:
        raise ReportError(
            f"{file.parent} does not say which environment it was trained on: neither its results nor its params.json "
            "name one."
        )
    if settings.get("curriculum") is not None:
        env_config.setdefault("curriculum", settings["curriculum"])
    # The same environment with another stream of episodes.
    env_config.pop("seed", None)
    name = re.sub(r"^<class '(.*)'>$", r"\1", str(name))
    return name.removeprefix(_NAMESPACE), env_config


def _algorithm(file: Path, settings: Mapping[str, Any], environment: str) -> str:
    match = _ALGORITHM_OF_CLASS.search(str(settings.get("class", "")))
    if match is not None and match[1] not in ("Algorithm", ""):
        return match[1]
    # Tune names a trial's folder <algorithm>_<environment>_<number>...
    return file.parent.name.split("_")[0] or environment


def _step_unit(counter: str, settings: Mapping[str, Any]) -> str:
    if counter == TIMESTEPS_TOTAL and settings.get("count_steps_by") == "agent_steps":
        return AGENT_STEPS
    return _STEP_COUNTERS[counter]


def _versions(folder: Path) -> dict[str, str]:
    """What the newest checkpoint of the run says about the versions that wrote it."""
    for file in sorted(folder.glob("checkpoint_*/rllib_checkpoint.json"), reverse=True):
        try:
            content = json.loads(file.read_text())
        except (OSError, ValueError):
            continue
        return {"ray": str(content["ray_version"])} if "ray_version" in content else {}
    return {}
