"""Shows progress: a live table on a terminal, plain lines everywhere else."""

import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self, TextIO

from rllib_mamba.cli.errors import did_you_mean
from rllib_mamba.cli.progress import EPISODE_METRICS, RETURN, Progress, ProgressTracker, duration
from rllib_mamba.cli.settings import flatten

LINE_INTERVAL = 5.0
HEARTBEAT_INTERVAL = 30.0


class Reporter:
    """Prints the progress of trials as plain lines, flushed at once.

    A trial gets its first line at its first result, then one per result but at most one every `line_interval`
    seconds; while no result comes, a line every `heartbeat_interval` seconds says so. A context manager.
    """

    def __init__(
        self,
        stop: Mapping[str, float],
        stream: TextIO | None = None,
        line_interval: float = LINE_INTERVAL,
        heartbeat_interval: float = HEARTBEAT_INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stop = stop
        self._stream = stream or sys.stdout
        self._line_interval = line_interval
        self._heartbeat_interval = heartbeat_interval
        self._clock = clock
        self._trackers: dict[str, ProgressTracker] = {}
        self._printed: dict[str, float] = {}
        self._unprinted: dict[str, Progress] = {}
        self._stop_names_checked = False
        self._last_sign = clock()
        self._lock = threading.RLock()
        self._finished = threading.Event()
        self._heartbeat = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        self._heartbeat.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def started(self, trial: str) -> None:
        """Says that `trial` begins to train; its clock starts here."""
        with self._lock:
            self._trackers[trial] = ProgressTracker(self._stop, self._clock)
            self._printed[trial] = float("-inf")
            self.say(f"{trial}: training")

    def result(self, trial: str, result: Mapping[str, Any]) -> None:
        """Takes one training result of `trial`."""
        with self._lock:
            tracker = self._trackers.setdefault(trial, ProgressTracker(self._stop, self._clock))
            if not self._stop_names_checked:
                self._stop_names_checked = True
                self._warn_of_unknown_criteria(result)
            progress = tracker.update(result)
            now = self._last_sign = self._clock()
            if now - self._printed.get(trial, float("-inf")) >= self._line_interval:
                self._printed[trial] = now
                self._unprinted.pop(trial, None)
                self._show(trial, progress)
            else:
                self._unprinted[trial] = progress

    def ended(self, trial: str) -> None:
        """Shows what `trial` reported last, if it has not been shown."""
        with self._lock:
            progress = self._unprinted.pop(trial, None)
            if progress is not None:
                self._show(trial, progress)
            self._trackers.pop(trial, None)

    def say(self, text: str) -> None:
        """Prints a line of its own."""
        with self._lock:
            self._last_sign = self._clock()
            self._write(text)

    def close(self) -> None:
        """Shows what is left and stops; may be called twice."""
        self._finished.set()
        with self._lock:
            for trial in list(self._unprinted):
                self.ended(trial)

    def _warn_of_unknown_criteria(self, result: Mapping[str, Any]) -> None:
        known = flatten(result)
        for name in self._stop:
            # These come with the first finished episode or evaluation.
            comes_later = name.startswith((RETURN, EPISODE_METRICS, "evaluation/"))
            if name not in known and not comes_later:
                self.say(f"The stop criterion {name} is no metric of the first results.{did_you_mean(name, known)}")

    def _write(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def _show(self, trial: str, progress: Progress) -> None:
        label = f"{trial}: " if len(self._printed) > 1 else ""
        self._write(label + " | ".join(progress.parts()))

    def _beat(self) -> None:
        begin = self._clock()
        while not self._finished.wait(min(1.0, self._heartbeat_interval)):
            with self._lock:
                quiet = self._clock() - self._last_sign
                if quiet >= self._heartbeat_interval:
                    doing = "training" if self._trackers else "starting"
                    self.say(f"{doing}, {duration(self._clock() - begin)} so far")


class LiveReporter(Reporter):
    """Keeps one table at the foot of a terminal; lines appear above it.

    A single trial has its numbers side by side in as many lines as the terminal needs, several have a row each.
    """

    def __init__(self, stop: Mapping[str, float]) -> None:
        from rich.console import Console
        from rich.live import Live

        super().__init__(stop, line_interval=0.0, heartbeat_interval=float("inf"))
        self._rows: dict[str, Progress] = {}
        self._console = Console()
        self._live = Live(console=self._console, get_renderable=self._table, refresh_per_second=2)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def close(self) -> None:
        """Leaves the last table on the screen."""
        super().close()
        self._live.stop()

    def _write(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _show(self, trial: str, progress: Progress) -> None:
        self._rows[trial] = progress

    def _table(self) -> Any:
        from rich.columns import Columns
        from rich.table import Table

        with self._lock:
            if len(self._rows) == 1:
                [row] = self._rows.values()
                return Columns(
                    [f"{name} [bold]{value}[/bold]" for name, value in _columns(row).items()], padding=(0, 3)
                )
            headers = list(dict.fromkeys(name for row in self._rows.values() for name in _columns(row)))
            table = Table(box=None)
            if headers:
                table.add_column("trial")
            for header in headers:
                table.add_column(header, justify="right")
            for trial, row in self._rows.items():
                cells = _columns(row)
                table.add_row(trial, *(cells.get(header, "") for header in headers))
            return table


def make_reporter(stop: Mapping[str, float]) -> Reporter:
    """Returns the live table where stdout is a terminal, plain lines elsewhere."""
    return LiveReporter(stop) if sys.stdout.isatty() else Reporter(stop)


def _columns(progress: Progress) -> dict[str, str]:
    columns = {"iteration": str(progress.iteration)}
    if progress.env_steps is not None:
        columns["env steps"] = f"{progress.env_steps:,}"
    if progress.steps_per_second is not None:
        columns["steps/s"] = f"{progress.steps_per_second:,.0f}"
    columns |= {f"{name} updates": f"{count:,}" for name, count in progress.updates.items()}
    if progress.episode_return is not None:
        columns["return"] = f"{progress.episode_return:.4g}"
    if progress.evaluation_return is not None:
        columns["evaluation return"] = f"{progress.evaluation_return:.4g}"
    columns |= {name: f"{value:.3g}" for name, value in (progress.metrics | progress.losses).items()}
    columns["time"] = duration(progress.seconds)
    if progress.seconds_left is not None:
        columns["left"] = duration(progress.seconds_left)
    return columns
