"""Which metric a comparison is about: full and short names, the default, and words for the axes."""

from collections.abc import Sequence

from rllib_mamba.reports.errors import ReportError, nearest_first
from rllib_mamba.reports.reading import AGENT_RETURN
from rllib_mamba.reports.runs import EVALUATION, TRAINING, Run

RETURN = "episode_return_mean"

_PREFERRED = ("episode_metrics/won", RETURN, AGENT_RETURN)
_WORDS = {
    "episode_metrics/won": "win rate",
    "episode_return_mean": "episode return (sum of rewards)",
    "episode_return_min": "lowest episode return (sum of rewards)",
    "episode_return_max": "highest episode return (sum of rewards)",
    AGENT_RETURN: "episode return per agent (sum of rewards)",
    "episode_len_mean": "episode length (env steps)",
}
_LISTED = 10


def default_metric(runs: Sequence[Run]) -> str:
    """Returns the metric that all runs have: of evaluations, if all have them, the win rate before the return.

    Where runs count returns differently, the return per agent stands for it. Raises ReportError where there is none.
    """
    for scope in (EVALUATION, TRAINING):
        for name in _PREFERRED:
            metric = scope + name
            if all(metric in run.metrics for run in runs) and not unlike_returns(metric, runs):
                return metric
    lacking = next((run for run in runs if TRAINING + RETURN not in run.metrics), runs[0])
    raise ReportError(
        f"the runs have no return that can be compared ({lacking.folder} has none, or none by agent): choose another "
        f"with --metric: {_listed(RETURN, lacking)}."
    )


def resolve_metric(name: str, runs: Sequence[Run]) -> str:
    """Returns the full name of the metric `name`, which may be its end (`won`); evaluations come before training.

    Raises ReportError where a run lacks it, with what it has, the nearest first, or where several end so.
    """
    full = [metric for metric in _of_all(runs) if metric == name]
    ends = [metric for metric in _of_all(runs) if metric.endswith(f"/{name}")]
    for scope in (EVALUATION, TRAINING):
        in_scope = [metric for metric in ends if metric.startswith(scope)]
        if in_scope:
            ends = in_scope
            break
    found = full or ends
    if len(found) == 1:
        return found[0]
    if found:
        raise ReportError(f"--metric {name} may be {', '.join(found)}: give more of the name.")
    for run in runs:
        has = [metric for metric in run.metrics if metric == name or metric.endswith(f"/{name}")]
        if not has:
            raise ReportError(f"{run.folder} has no metric {name!r}. It has {_listed(name, run)}.")
    raise ReportError(f"the runs have no metric {name!r} in common: give it in full, with or without {EVALUATION!r}.")


def unlike_returns(metric: str, runs: Sequence[Run]) -> bool:
    """Says whether `metric` is a return that the runs of one environment count in different ways."""
    if not metric.rpartition("/")[2].startswith("episode_return_"):
        return False
    conventions: dict[str, set[str]] = {}
    for run in runs:
        several = sum(name.startswith(f"{TRAINING}agent_") for name in run.metrics) > 1
        if several:
            conventions.setdefault(run.environment, set()).add(run.return_convention)
    return any(len(found) > 1 for found in conventions.values())


def in_words(metric: str) -> str:
    """Returns the metric for the axis of a figure, with its unit where that is known."""
    short = metric.removeprefix(EVALUATION).removeprefix(TRAINING)
    return _WORDS.get(short) or short.removeprefix("episode_metrics/").replace("_", " ").replace("/", ", ")


def measured_on(metric: str) -> str:
    """Says what kind of episodes the metric is of."""
    if metric.startswith(EVALUATION):
        return "evaluation episodes"
    return "training episodes" if metric.startswith(TRAINING) else "training"


def _of_all(runs: Sequence[Run]) -> list[str]:
    others = [set(run.metrics) for run in runs[1:]]
    return [metric for metric in runs[0].metrics if all(metric in metrics for metrics in others)]


def _listed(name: str, run: Run) -> str:
    """The metrics of episodes that the run has, by their short names, the most similar to `name` first."""
    scopes = (EVALUATION, TRAINING)
    short = {metric.removeprefix(scope) for metric in run.metrics for scope in scopes if metric.startswith(scope)}
    of_episodes = [metric for metric in short if metric.startswith(("episode_", "agent_return"))]
    names = nearest_first(name, of_episodes or run.metrics)
    return ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
