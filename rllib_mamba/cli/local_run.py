"""Runs an experiment in this process, without Tune, and leaves the same files."""

import shutil
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.tune.logger import CSVLoggerCallback, JsonLoggerCallback, LoggerCallback, TBXLoggerCallback
from ray.tune.stopper import Stopper

from rllib_mamba.cli.environments import environment_name
from rllib_mamba.cli.experiment import Experiment
from rllib_mamba.cli.interrupt import Interrupt
from rllib_mamba.cli.options import TrainOptions
from rllib_mamba.cli.outcome import TrialOutcome
from rllib_mamba.cli.reporter import Reporter, make_reporter
from rllib_mamba.cli.settings import flatten
from rllib_mamba.cli.stopping import MetricStopper


def run_locally(experiment: Experiment, options: TrainOptions) -> tuple[list[TrialOutcome], bool]:
    """Trains each repeat in turn until the stop criteria or Ctrl-C; returns as `run_with_tune` does."""
    outcomes = []
    interrupt = Interrupt(_stop_now)
    interrupt.install()
    try:
        with make_reporter(experiment.stop) as reporter:
            for index in range(experiment.tune_config.num_samples):
                config = experiment.config.copy(copy_frozen=False)
                if options.seed is not None:
                    config.debugging(seed=options.seed + index)
                outcomes.append(LocalTrial.create(experiment, config, index).run(reporter, interrupt))
                if interrupt.requested:
                    break
    finally:
        interrupt.remove()
    return outcomes, interrupt.requested


@dataclass(eq=False)
class LocalTrial:
    """One repeat of an experiment. Has what Tune's loggers ask of a trial, so that they write the files."""

    experiment: Experiment
    algorithm_config: AlgorithmConfig
    local_path: str
    evaluated_params: dict[str, Any] = field(default_factory=dict)
    #: Tune's loggers fetch what an interrupted trial wrote elsewhere; here nothing is elsewhere.
    checkpoint: None = None

    @classmethod
    def create(cls, experiment: Experiment, config: AlgorithmConfig, index: int) -> "LocalTrial":
        """Makes the trial's folder, named like those of Tune."""
        environment = environment_name(config)
        date = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
        name = f"{experiment.algorithm.__name__}_{environment}_{index:05d}_{date}".replace("/", "_").replace(":", "_")
        return cls(experiment, config, str(Path(experiment.storage) / experiment.name / name))

    @property
    def config(self) -> dict[str, Any]:
        """The configuration as Tune's loggers store it."""
        return self.algorithm_config.to_dict()

    def init_local_path(self) -> None:
        """Makes the folder."""
        Path(self.local_path).mkdir(parents=True, exist_ok=True)

    def run(self, reporter: Reporter, interrupt: Interrupt) -> TrialOutcome:
        """Trains, writes results and checkpoints, and says how it ended."""
        name = Path(self.local_path).name
        self.init_local_path()
        loggers: list[LoggerCallback] = [JsonLoggerCallback(), CSVLoggerCallback(), TBXLoggerCallback()]
        for logger in loggers:
            logger.log_trial_start(self)
        result: dict[str, Any] = {}
        checkpoints = _Checkpoints(Path(self.local_path), self.experiment)
        error: BaseException | None = None
        algorithm: Algorithm | None = None
        try:
            algorithm = self.algorithm_config.build_algo()
            if self.experiment.checkpoint is not None:
                algorithm.restore_from_path(str(self.experiment.checkpoint))
            reporter.started(name)
            done = False
            while not done:
                result = algorithm.train()
                done = self._is_done(result) or interrupt.requested
                for logger in loggers:
                    logger.log_trial_result(algorithm.iteration, self, result)
                reporter.result(name, result)
                checkpoints.save_if_due(algorithm, result, done)
        except Exception as failure:
            error = failure
        finally:
            reporter.ended(name)
            for logger in loggers:
                logger.log_trial_end(self, failed=error is not None)
            if algorithm is not None:
                algorithm.stop()
        return TrialOutcome(name, self.local_path, result, checkpoints.chosen(), checkpoints.by_score, error)

    def _is_done(self, result: dict[str, Any]) -> bool:
        stop = self.experiment.run_config.stop
        if isinstance(stop, Stopper) or callable(stop):
            return bool(stop("", result))
        return MetricStopper(self.experiment.stop)("", result)


class _Checkpoints:
    """Writes checkpoints when they are due and keeps as many as the experiment says, the best or the newest."""

    def __init__(self, folder: Path, experiment: Experiment) -> None:
        self._folder = folder
        config = experiment.run_config.checkpoint_config
        assert config is not None
        self._config = config
        self.by_score = config.checkpoint_score_attribute is not None
        self._kept: list[tuple[float, Path]] = []
        self._count = 0

    def save_if_due(self, algorithm: Algorithm, result: dict[str, Any], done: bool) -> None:
        frequency = self._config.checkpoint_frequency
        due = bool(frequency) and algorithm.iteration % frequency == 0
        if not (due or (done and self._config.checkpoint_at_end)):
            return
        path = self._folder / f"checkpoint_{self._count:06d}"
        algorithm.save_to_path(str(path))
        self._kept.append((self._score(result), path))
        self._count += 1
        self._drop_worst()

    def chosen(self) -> str | None:
        if not self._kept:
            return None
        return str(max(self._kept)[1] if self.by_score else self._kept[-1][1])

    def _score(self, result: dict[str, Any]) -> float:
        if not self.by_score:
            return float(self._count)
        value = flatten(result).get(self._config.checkpoint_score_attribute)
        if value is None or value != value:
            return float("-inf")
        return float(value) if self._config.checkpoint_score_order == "max" else -float(value)

    def _drop_worst(self) -> None:
        limit = self._config.num_to_keep
        if not limit:
            return
        # The newest stays whatever its score, as with Tune: a run goes on from it.
        newest = self._kept[-1]
        best = sorted(self._kept, reverse=True)[:limit]
        for entry in [entry for entry in self._kept if entry not in best and entry != newest]:
            self._kept.remove(entry)
            shutil.rmtree(entry[1], ignore_errors=True)


def _stop_now() -> None:
    raise KeyboardInterrupt
