"""How trials ended: what is printed at the end of `rllib train`, and the exit code that follows from it."""

import math
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rllib_mamba.cli.errors import FAILURE, INTERRUPTED, root_message
from rllib_mamba.cli.progress import ENV_STEPS, ITERATION
from rllib_mamba.cli.settings import flatten

EVALUATION_EPISODES = 10


def own_command() -> str:
    """Returns how a shell calls this command: `rllib` where it finds this one by that name, otherwise its path."""
    own = Path(sys.argv[0])
    if own.name != "rllib":
        return "rllib"
    found = shutil.which("rllib")
    if found is not None and Path(found).resolve() == own.resolve():
        return "rllib"
    return shlex.quote(str(own.absolute()))


@dataclass(frozen=True)
class TrialOutcome:
    """One trial at the end of a run: its last result (nested), where it lies, and what stopped it if it failed.

    `config` holds its settings, and `score` the best value of the metric by which trials are compared, reached at
    `score_step` env steps (or iterations, where nobody counted env steps).
    """

    name: str
    folder: str
    result: Mapping[str, Any]
    checkpoint: str | None
    best: bool = False
    error: BaseException | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    score: float | None = None
    score_step: float | None = None

    @property
    def trial_id(self) -> str:
        """What Tune calls the trial, short and unique."""
        return str(self.result.get("trial_id", self.name))

    def lines(self) -> list[str]:
        """Returns what is printed about the trial."""
        flat = flatten(self.result)
        lines = [f"{self.name}: {self._state(flat)}", f"  results     {self.folder}"]
        if self.checkpoint is None:
            lines.append("  checkpoint  none was written")
        else:
            label = "best" if self.best else "last"
            lines.append(f"  checkpoint  {self.checkpoint} ({label})")
            evaluate = f"{own_command()} evaluate {shlex.quote(self.checkpoint)} --episodes {EVALUATION_EPISODES}"
            lines.append(f"  evaluate    {evaluate}")
        return lines

    def _state(self, flat: Mapping[str, Any]) -> str:
        if self.error is not None:
            return f"failed: {root_message(self.error)}"
        iterations = flat.get(ITERATION)
        if not iterations:
            return "no iteration was finished"
        steps = flat.get(ENV_STEPS, flat.get(f"env_runners/{ENV_STEPS}"))
        return f"{iterations:,} iterations" + ("" if steps is None else f", {int(steps):,} env steps")


def exit_code(
    outcomes: Sequence[TrialOutcome], stop: Mapping[str, float], interrupted: bool, as_test: bool
) -> tuple[int, str | None]:
    """Returns the exit code of a run, and a line that says why where it is not 0.

    A run without a stop criterion has done what was asked when Ctrl-C ends it.
    """
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    if failed:
        return FAILURE, f"{len(failed)} of {len(outcomes)} trials failed: {root_message(failed[0].error)}"  # type: ignore[arg-type]
    if interrupted and stop:
        return INTERRUPTED, "interrupted before the stop criterion was reached."
    if as_test:
        for metric, target in return_criteria(stop).items():
            values = [float(flatten(outcome.result).get(metric, math.nan)) for outcome in outcomes]
            best = max((value for value in values if not math.isnan(value)), default=math.nan)
            if not best >= target:
                return FAILURE, f"{metric} is {best:.4g} at the end, below the {target:.4g} of the test."
    return 0, None


def return_criteria(stop: Mapping[str, float]) -> dict[str, float]:
    """Returns those stop criteria that are mean episode returns."""
    return {name: value for name, value in stop.items() if name.endswith("episode_return_mean")}
