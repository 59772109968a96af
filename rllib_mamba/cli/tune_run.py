"""Runs an experiment with Ray Tune."""

import dataclasses
import os
import re
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from ray import tune
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.tune import ResultGrid
from ray.tune.experiment import Trial
from ray.tune.search import BasicVariantGenerator

from rllib_mamba.cli.cluster import quieten
from rllib_mamba.cli.errors import CommandError, UsageError, one_line
from rllib_mamba.cli.experiment import Experiment
from rllib_mamba.cli.loggers import logger_callbacks
from rllib_mamba.cli.options import TrainOptions
from rllib_mamba.cli.outcome import TrialOutcome
from rllib_mamba.cli.progress import ENV_STEPS, ITERATION
from rllib_mamba.cli.search_space import leaves
from rllib_mamba.cli.settings import apply_settings
from rllib_mamba.cli.tune_progress import TuneProgress
from rllib_mamba.tuning import KeepSchedulerState

MAX_FOLDER_NAME = 200


class KeepConfig(tune.Callback):
    """Saves the configuration with the experiment, which Tune does not.

    Trials that a search algorithm begins after an interruption need it.
    """

    def __init__(self, config: AlgorithmConfig) -> None:
        self.config = config


def run_with_tune(experiment: Experiment, options: TrainOptions) -> tuple[list[TrialOutcome], bool]:
    """Trains until the stop criteria or Ctrl-C; returns how the trials ended and whether they were interrupted.

    Raises CommandError where Tune itself fails.
    """
    # SIGINT is ours: Tune would end at once, without a checkpoint of the trials.
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    # Tune's newer reporter prints tables and hints even when it is told to be silent; the older one does as it is told.
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    # Returns and evaluations are missing from results until the first episode or evaluation has ended.
    os.environ["TUNE_DISABLE_STRICT_METRIC_CHECKING"] = "1"
    progress = TuneProgress(experiment.stop, experiment.sweep.metric if _compares(experiment) else None)
    tuner = _resumed(experiment) if options.resume else _new(experiment, options, progress)
    # A search algorithm has been imported by now, and Optuna sets its own level when it is.
    quieten(options.verbose)
    try:
        results = tuner.fit()
    except tune.TuneError as error:
        raise CommandError(f"Tune failed: {one_line(str(error))}") from error
    if progress.problem:
        raise CommandError(progress.problem)
    outcomes = _outcomes(results, experiment)
    nothing = all(outcome.score is None and outcome.error is None for outcome in outcomes)
    if _compares(experiment) and outcomes and nothing and not progress.interrupted:
        raise CommandError(f"{experiment.sweep.metric}, by which trials are compared, was in none of their results.")
    unfinished = [result for result in results if not (result.metrics or {}).get("done") and result.error is None]
    return outcomes, bool(unfinished) or progress.interrupted


def _compares(experiment: Experiment) -> bool:
    """Whether a scheduler or a search algorithm compares trials by the metric of the sweep."""
    return experiment.tune_config.metric == experiment.sweep.metric


def _new(experiment: Experiment, options: TrainOptions, progress: TuneProgress) -> tune.Tuner:
    config = experiment.config.copy(copy_frozen=False)
    apply_settings(config, experiment.sweep.space)
    tune_config = experiment.tune_config
    samples = tune_config.num_samples
    own_search = tune_config.search_alg is not None and not isinstance(tune_config.search_alg, BasicVariantGenerator)
    # Other search algorithms cannot go through a grid: their trials have one seed.
    if options.seed is not None and samples > 1 and not own_search:
        config.debugging(seed=tune.grid_search([options.seed + index for index in range(samples)]))
        tune_config = dataclasses.replace(tune_config, num_samples=1)
    if tune_config.trial_dirname_creator is None:
        names = tuple(name for name, _ in leaves(experiment.sweep.space))
        tune_config = dataclasses.replace(tune_config, trial_dirname_creator=partial(folder_name, names))
    callbacks = [
        progress,
        *([KeepSchedulerState(tune_config.scheduler)] if tune_config.scheduler is not None else []),
        *([KeepConfig(config)] if own_search else []),
        *(experiment.run_config.callbacks or []),
        *logger_callbacks(options, experiment.name),
    ]
    extra: dict[str, Any] = {}
    if experiment.checkpoint is not None:
        extra["_tuner_kwargs"] = {"restore": str(experiment.checkpoint)}
    return tune.Tuner(
        experiment.algorithm,
        param_space=config,
        run_config=dataclasses.replace(experiment.run_config, callbacks=callbacks, verbose=0),
        tune_config=tune_config,
        **extra,
    )


def folder_name(searched: Sequence[str], trial: Trial) -> str:
    """Returns the name of a trial's folder: its own, when it began, and what it has of the `searched` settings.

    With some search algorithms Tune would put every setting there is into it.
    """
    parts = [f"{trial}_{datetime.now():%Y-%m-%d_%H-%M-%S}"]
    for name in searched:
        value = trial.config
        for level in name.split("."):
            value = value[level]
        parts.append(f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}")
    return re.sub(r"[^\w.=+-]+", "_", ",".join(parts))[:MAX_FOLDER_NAME]


def check_resumable(experiment: Experiment) -> None:
    """Raises UsageError where there is no experiment of that name to go on with."""
    path = f"{experiment.storage}/{experiment.name}"
    if not tune.Tuner.can_restore(path):
        raise UsageError(f"--resume: there is no interrupted experiment in {path}.")


def _resumed(experiment: Experiment) -> tune.Tuner:
    path = f"{experiment.storage}/{experiment.name}"
    try:
        restore = partial(tune.Tuner.restore, path, trainable=experiment.algorithm, resume_errored=True)
        tuner = restore()
        callbacks = tuner._local_tuner.get_run_config().callbacks or []
        kept = [callback for callback in callbacks if isinstance(callback, KeepConfig)]
        return restore(param_space=kept[0].config) if kept else tuner
    except (ValueError, OSError, RuntimeError) as error:
        raise CommandError(f"--resume: the experiment in {path} cannot be resumed: {one_line(str(error))}") from error


def _outcomes(results: ResultGrid, experiment: Experiment) -> list[TrialOutcome]:
    checkpoint_config = experiment.run_config.checkpoint_config
    attribute = checkpoint_config.checkpoint_score_attribute if checkpoint_config else None
    outcomes = []
    for result in results:
        checkpoint = result.checkpoint
        if attribute and result.best_checkpoints:
            checkpoint = result.get_best_checkpoint(attribute, checkpoint_config.checkpoint_score_order) or checkpoint
        outcomes.append(
            TrialOutcome(
                name=Path(result.path).name,
                folder=result.path,
                result=result.metrics or {},
                checkpoint=checkpoint.path if checkpoint else None,
                best=bool(attribute),
                error=result.error,
                config=result.config or {},
                **_score(result, experiment.sweep.metric, experiment.sweep.mode),
            )
        )
    return outcomes


def _score(result: tune.Result, metric: str, mode: str) -> dict[str, float | None]:
    """The best value of a metric in a trial's results, and when it was reached."""
    history = result.metrics_dataframe
    if history is None or metric not in history:
        return {}
    values = history[metric].astype(float)
    if values.isna().all():
        return {}
    best = values.idxmax() if mode == "max" else values.idxmin()
    step = next((name for name in (ENV_STEPS, f"env_runners/{ENV_STEPS}", ITERATION) if name in history), None)
    return {"score": float(values[best]), "score_step": None if step is None else float(history[step][best])}
