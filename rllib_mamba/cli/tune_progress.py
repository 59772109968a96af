"""Progress and Ctrl-C inside a Tune experiment."""

import signal
from collections.abc import Mapping
from typing import Any

from ray.tune import Callback

from rllib_mamba.cli.errors import did_you_mean
from rllib_mamba.cli.interrupt import Interrupt
from rllib_mamba.cli.reporter import Reporter, make_reporter
from rllib_mamba.cli.settings import flatten
from rllib_mamba.cli.sweep import comes_later

SHOULD_CHECKPOINT = "should_checkpoint"


class TuneProgress(Callback):
    """Reports every result; on Ctrl-C saves the running trials, then ends the experiment so that it can be resumed.

    Tune stores its callbacks with the experiment: only the stop criteria are stored, a resumed experiment begins with
    a reporter of its own. `interrupted` says that Ctrl-C ended the experiment. Where trials are compared by a `metric`
    that the first result does not have, and that does not come later, it ends the experiment.
    """

    def __init__(self, stop: Mapping[str, float], metric: str | None = None) -> None:
        self._stop = dict(stop)
        self._metric = metric
        self.interrupted = False
        #: Why the experiment was ended, where it was not Ctrl-C.
        self.problem: str | None = None
        self._reporter: Reporter | None = None
        self._interrupt: Interrupt | None = None
        self._saved: set[str] = set()

    def __reduce__(self) -> tuple[type, tuple[dict[str, float], str | None]]:
        return type(self), (self._stop, self._metric)

    def setup(self, *args: Any, **info: Any) -> None:
        """Called by Tune in the driver before the first trial."""
        self._reporter = make_reporter(self._stop)
        self._reporter.__enter__()
        self._interrupt = Interrupt(_end_experiment)
        self._interrupt.install()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial has its processes."""
        if self._reporter is not None:
            self._reporter.started(str(trial))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A trial finished an iteration; after Ctrl-C this also asks it for a checkpoint."""
        if self._reporter is not None:
            self._reporter.result(str(trial), result)
        self._check_metric(result)
        if self._interrupt is not None and self._interrupt.requested:
            result[SHOULD_CHECKPOINT] = True

    def _check_metric(self, result: Mapping[str, Any]) -> None:
        metric, self._metric = self._metric, None
        if metric is None:
            return
        known = flatten(result)
        if metric not in known and not comes_later(metric):
            self.problem = f"--metric: {metric} is no metric of the results.{did_you_mean(metric, known)}"
            _end_experiment()

    def on_checkpoint(self, iteration: int, trials: list[Any], trial: Any, checkpoint: Any, **info: Any) -> None:
        """A trial has saved itself."""
        if self._interrupt is not None and self._interrupt.requested:
            self._saved.add(trial.trial_id)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Ends the experiment once Ctrl-C was pressed and every running trial is saved."""
        if self._interrupt is None or not self._interrupt.requested or self.interrupted:
            return
        running = {trial.trial_id for trial in trials if trial.status == "RUNNING"}
        if running <= self._saved:
            self.interrupted = True
            _end_experiment()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial reached its stop criterion."""
        if self._reporter is not None:
            self._reporter.ended(str(trial))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial failed; the cause is printed at the end."""
        if self._reporter is not None:
            self._reporter.ended(str(trial))
            self._reporter.say(f"{trial}: failed")

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """All trials have ended, or were ended."""
        if self._interrupt is not None:
            self.interrupted = self._interrupt.requested
            self._interrupt.remove()
        if self._reporter is not None:
            self._reporter.close()


def _end_experiment() -> None:
    # Tune ends an experiment that can be resumed on SIGUSR1 as it does on SIGINT, which is ours here.
    signal.raise_signal(signal.SIGUSR1)
