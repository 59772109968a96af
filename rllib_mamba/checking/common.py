"""Checks of what concerns no single agent: infos, the global state, the metrics of an episode."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from rllib_mamba.checking.evidence import Evidence
from rllib_mamba.checking.findings import Concerns, Finding, Sightings, error, shown, warning
from rllib_mamba.checking.rewards import number
from rllib_mamba.teams import columns


def infos_are_dictionaries(evidence: Evidence) -> Iterator[Finding]:
    """Infos of another kind."""
    sightings = Sightings()
    for step in evidence.steps:
        for agent, info in step.infos.items():
            if not isinstance(info, Mapping):
                sightings.add(step.place, f"infos[{agent!r}] is {shown(info)}")
    if sightings:
        yield error(str(sightings), "a dictionary.", "return {} where there is nothing to say.")


def state_keeps_its_size(evidence: Evidence) -> Iterator[Finding]:
    """Global states that come and go or change."""
    kinds: dict[str, str] = {}
    for step in evidence.steps:
        state = step.state
        size = "none" if state is None else f"{np.size(state)} numbers of dtype {np.asarray(state).dtype}"
        kinds.setdefault(size, step.place)
    if len(kinds) < 2:
        return
    sizes = {None if kind == "none" else kind.split()[0] for kind in kinds}
    yield (error if len(sizes) > 1 else warning)(
        "the global state is " + ", but ".join(f"{kind} at {place}" for kind, place in kinds.items()) + ".",
        "a state of the same size and dtype at every reset and step, the last of an episode included.",
        "give `infos['__common__']['state']` always, or a method `state()`.",
        Concerns.TEAMS,
    )


def state_is_finite(evidence: Evidence) -> Iterator[Finding]:
    """NaN, infinity and text in the global state."""
    sightings = Sightings()
    for step in evidence.steps:
        if step.state is None:
            continue
        array = np.asarray(step.state)
        if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
            sightings.add(step.place, f"the global state is {shown(array)}")
    if sightings:
        yield error(str(sightings), "finite numbers.", "look for a value that was never set.", Concerns.TEAMS)


def metrics_are_numbers(evidence: Evidence) -> Iterator[Finding]:
    """Metrics of an episode that are no numbers."""
    wrong, unset = Sightings(), Sightings()
    for step in evidence.steps:
        metrics = step.info(columns.COMMON).get(columns.EPISODE_METRICS)
        if metrics is None:
            continue
        if not isinstance(metrics, Mapping):
            wrong.add(step.place, f"episode_metrics is {shown(metrics)}")
            continue
        for name, value in metrics.items():
            try:
                float(value)
            except (TypeError, ValueError):
                wrong.add(step.place, f"episode_metrics[{name!r}] is {shown(value)}")
            else:
                if number(value) is None:
                    unset.add(step.place, f"episode_metrics[{name!r}] is {value}")
    if wrong:
        yield error(str(wrong), "a dictionary of names and numbers.", "convert the values with `float(...)`.")
    if unset:
        yield warning(str(unset), "finite numbers: their mean is reported.", "leave out what is not defined.")


def metrics_come_at_the_end(evidence: Evidence) -> Iterator[Finding]:
    """Metrics that some episodes lack."""
    over = [episode for episode in evidence.episodes if episode.over]
    with_metrics = {
        step.episode for step in evidence.steps if step.info(columns.COMMON).get(columns.EPISODE_METRICS) is not None
    }
    without = [episode for episode in over if episode.number not in with_metrics]
    if with_metrics and without:
        yield warning(
            f"{len(without)} of {len(over)} episodes ended without `episode_metrics`; the others had them.",
            "metrics at the last step of every episode, whichever way it ends: means count those that have them.",
            "set `infos['__common__']['episode_metrics']` wherever '__all__' is set.",
        )
