"""Population-based training (Jaderberg et al., 2017, arXiv 1711.09846) of options that may be schedules."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from ray.tune import schedulers
from ray.tune.search.sample import Domain, Float, Integer


class PopulationBasedTraining(schedulers.PopulationBasedTraining):
    """Tune's, which perturbs a schedule [[env step, value], ...] as a whole, and stays within the bounds it was given.

    Tune multiplies a number by a factor, or draws it anew. The values of a schedule are all multiplied by the factor
    by which its largest value would change. Numbers do not leave the interval of their `tune.uniform`,
    `tune.loguniform` or `tune.randint` in `hyperparam_mutations`. Everything else is Tune's: a trial of the lower
    quantile is ended, and begins again from a checkpoint of the upper one, replay included, with perturbed options.

    With `synch=True` a trial may still be saving itself when it is told to go on from another. Tune then ends it for
    good after its next checkpoint; here it goes on.
    """

    def _exploit(self, tune_controller: Any, trial: Any, trial_to_clone: Any) -> None:
        if trial.is_saving:
            # Two processes must not write into one folder: what it saves is complete before it is begun anew.
            trial.temporary_state.saving_to.resolve()
            # Tune notes for a trial that is saving to end it when that is done, which would hold for its next save.
            trial.temporary_state.saving_to = None
        super()._exploit(tune_controller, trial, trial_to_clone)

    def _get_new_config(self, trial: Any, trial_to_clone: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        config = trial_to_clone.config
        clone = SimpleNamespace(config=_with_numbers(config, self._hyperparam_mutations))
        explored, operations = super()._get_new_config(trial, clone)
        return _with_schedules(explored, config, self._hyperparam_mutations), operations


def _with_numbers(config: Mapping[str, Any], mutations: Mapping[str, Any]) -> dict[str, Any]:
    """The same with the largest value of every schedule that is to be multiplied in its place."""
    result = dict(config)
    for name, distribution in mutations.items():
        if isinstance(distribution, Mapping):
            result[name] = _with_numbers(config[name], distribution)
        elif _is_multiplied(distribution) and _is_schedule(config[name]):
            result[name] = _peak(config[name])
    return result


def _with_schedules(
    explored: Mapping[str, Any], config: Mapping[str, Any], mutations: Mapping[str, Any]
) -> dict[str, Any]:
    """What was explored, within bounds, and with the schedules of `config` changed as much as their largest values."""
    result = dict(explored)
    for name, distribution in mutations.items():
        if isinstance(distribution, Mapping):
            result[name] = _with_schedules(explored[name], config[name], distribution)
            continue
        value = _within(distribution, result[name])
        if _is_multiplied(distribution) and _is_schedule(config[name]) and not _is_schedule(value):
            peak = _peak(config[name])
            if peak:
                value = [[step, old * value / peak] for step, old in config[name]]
        result[name] = copy.copy(value)
    return result


def _is_multiplied(distribution: Any) -> bool:
    # From a list of values Tune takes a neighbour; a schedule is a value like any other there.
    return isinstance(distribution, Domain) or callable(distribution)


def _is_schedule(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _peak(schedule: Any) -> float:
    return max(value for _, value in schedule)


def _within(distribution: Any, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if isinstance(distribution, Float):
        return min(max(value, distribution.lower), distribution.upper)
    if isinstance(distribution, Integer):
        return min(max(value, distribution.lower), distribution.upper - 1)
    return value
