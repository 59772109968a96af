"""Schedulers that know after an interruption what they knew before: Tune itself begins with a new one."""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from typing import Any

import cloudpickle
from ray.tune import Callback
from ray.tune.execution.tune_controller import _FutureTrainingResult
from ray.tune.experiment import Trial
from ray.tune.schedulers import HyperBandScheduler, TrialScheduler

_UNFINISHED_SAVE = "unfinished save"


class KeepSchedulerState(Callback):
    """Saves a scheduler with the experiment, and brings it back when the experiment is resumed.

    Without it a scheduler forgets what ended trials have reached, and HyperBand waits for them.

    Args:
        scheduler: The one given to `tune.TuneConfig`, the object itself.
    """

    def __init__(self, scheduler: TrialScheduler) -> None:
        self._scheduler = scheduler
        self._saved: bytes | None = None

    def get_state(self) -> dict[str, Any]:
        """What Tune saves with the experiment."""
        return {"scheduler": self._saved or _dump(self._scheduler)}

    def set_state(self, state: dict[str, Any]) -> None:
        """What Tune saved; it is used as soon as the trials are there."""
        self._saved = state["scheduler"]

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Called by Tune before it decides which trial runs next."""
        if self._saved is None:
            return
        _load(self._scheduler, self._saved, trials)
        self._saved = None


class _Pickler(cloudpickle.Pickler):
    def persistent_id(self, value: Any) -> Any:
        if isinstance(value, Trial):
            return value.trial_id
        return _UNFINISHED_SAVE if isinstance(value, _FutureTrainingResult) else None


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, trials: Sequence[Trial]) -> None:
        super().__init__(file)
        self._trials = {trial.trial_id: trial for trial in trials}

    def persistent_load(self, key: str) -> Any:
        # A trial that was never saved is not in the experiment any more; what stands for it is never asked for.
        return None if key == _UNFINISHED_SAVE else self._trials.get(key, key)


def _dump(scheduler: TrialScheduler) -> bytes:
    file = io.BytesIO()
    _Pickler(file).dump(scheduler.__dict__)
    return file.getvalue()


def _load(scheduler: TrialScheduler, saved: bytes, trials: Sequence[Trial]) -> None:
    scheduler.__dict__.update(_Unpickler(io.BytesIO(saved), trials).load())
    if isinstance(scheduler, HyperBandScheduler):
        for bracket in (bracket for band in scheduler._hyperbands for bracket in band if bracket is not None):
            # All trials begin again at once, also those that waited for others; HyperBand must not go on without them.
            bracket._live_trials = dict.fromkeys(bracket._live_trials)
