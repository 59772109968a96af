"""Runs an experiment with Ray Tune."""

import dataclasses
import os
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune import ResultGrid

from rllib_mamba.cli.errors import CommandError, UsageError, one_line
from rllib_mamba.cli.experiment import Experiment
from rllib_mamba.cli.loggers import logger_callbacks
from rllib_mamba.cli.options import TrainOptions
from rllib_mamba.cli.outcome import TrialOutcome
from rllib_mamba.cli.tune_progress import TuneProgress


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
    tuner = _resumed(experiment) if options.resume else _new(experiment, options)
    try:
        results = tuner.fit()
    except tune.TuneError as error:
        raise CommandError(f"Tune failed: {one_line(str(error))}") from error
    unfinished = [result for result in results if not (result.metrics or {}).get("done") and result.error is None]
    return _outcomes(results, experiment), bool(unfinished)


def _new(experiment: Experiment, options: TrainOptions) -> tune.Tuner:
    config = experiment.config
    samples = experiment.tune_config.num_samples
    tune_config = experiment.tune_config
    if options.seed is not None and samples > 1:
        config.debugging(seed=tune.grid_search([options.seed + index for index in range(samples)]))
        tune_config = dataclasses.replace(tune_config, num_samples=1)
    callbacks = [
        TuneProgress(experiment.stop),
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


def check_resumable(experiment: Experiment) -> None:
    """Raises UsageError where there is no experiment of that name to go on with."""
    path = f"{experiment.storage}/{experiment.name}"
    if not tune.Tuner.can_restore(path):
        raise UsageError(f"--resume: there is no interrupted experiment in {path}.")


def _resumed(experiment: Experiment) -> tune.Tuner:
    path = f"{experiment.storage}/{experiment.name}"
    try:
        return tune.Tuner.restore(path, trainable=experiment.algorithm, resume_errored=True)
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
            )
        )
    return outcomes
