"""What to train and how: one description, from the command line or from a file, before anything starts."""

import copy
import dataclasses
import os
import shlex
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.tune import CheckpointConfig, RunConfig, TuneConfig
from ray.tune.schedulers import SCHEDULER_IMPORT, TrialScheduler, create_scheduler

from rllib_mamba import registry
from rllib_mamba.cli.checkpoint import read_checkpoint
from rllib_mamba.cli.environments import report_episode_metrics, set_environment
from rllib_mamba.cli.errors import CommandError, UsageError, did_you_mean, one_line
from rllib_mamba.cli.options import (
    DEFAULT_CHECKPOINT_FREQUENCY,
    DEFAULT_CHECKPOINTS_KEPT,
    DEFAULT_EXPERIMENT_NAME,
    DEFAULT_RESULTS_ROOT,
    TrainOptions,
)
from rllib_mamba.cli.progress import RETURN
from rllib_mamba.cli.settings import apply_preset, apply_settings, parse_json, parse_settings
from rllib_mamba.cli.stopping import MetricStopper, given_criteria

_RUN_SETTINGS = {
    "env_runners": ("num_env_runners", "num_envs_per_env_runner"),
    "learners": ("num_learners", "num_gpus_per_learner"),
    "evaluation": ("evaluation_interval", "evaluation_duration"),
}


@dataclass
class Experiment:
    """An algorithm's configuration with stop criteria and what a file sets for Tune.

    `source` holds the arguments that name the experiment again (`--algo PPO`, `file FILE`), for the line that says
    how to resume it; `notes` are lines about what was decided for the user.
    """

    algorithm: type[Algorithm]
    config: AlgorithmConfig
    source: list[str]
    stop: dict[str, float] = field(default_factory=dict)
    run_config: RunConfig = field(default_factory=RunConfig)
    tune_config: TuneConfig = field(default_factory=TuneConfig)
    checkpoint: Path | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The folder of the experiment under the results root."""
        return self.run_config.name or DEFAULT_EXPERIMENT_NAME

    @property
    def storage(self) -> str:
        """The results root, an absolute path or a URI."""
        return self.run_config.storage_path or os.path.expanduser(DEFAULT_RESULTS_ROOT)

    def resume_line(self) -> str:
        """The command that goes on with this experiment after an interruption."""
        where = [] if self.storage == os.path.expanduser(DEFAULT_RESULTS_ROOT) else ["--local-dir", self.storage]
        return shlex.join(["rllib", "train", *self.source, "--experiment-name", self.name, *where, "--resume"])


def experiment_from_options(options: TrainOptions) -> Experiment:
    """Builds the experiment of `rllib train --algo ...`. Raises UsageError for what is missing or unknown."""
    if not options.algo:
        raise UsageError("--algo is missing. Known algorithms: " + ", ".join(registry.algorithm_names()) + ".")
    algorithm = get_algorithm(options.algo)
    config = algorithm.get_default_config()
    experiment = Experiment(algorithm, config, ["--algo", options.algo])
    apply_options(experiment, options)
    return experiment


def get_algorithm(name: str) -> type[Algorithm]:
    """Returns the algorithm class registered as `name`. Raises UsageError that lists the known ones."""
    try:
        return registry.get_algorithm_class(name)
    except ValueError as error:
        raise UsageError(one_line(str(error))) from error


def apply_options(experiment: Experiment, options: TrainOptions) -> None:
    """Overrides `experiment` with what the command line gives: preset, then `--config`, then the options.

    Raises UsageError or CommandError for whatever is wrong with them, before anything starts.
    """
    config = experiment.config
    if options.preset:
        apply_preset(config, options.preset)
    settings = parse_settings(options.config or [])
    environment = options.env or settings.pop("env", None)
    apply_settings(config, settings)
    if environment:
        note = set_environment(config, environment)
        experiment.notes += [note] if note else []
    for method, names in _RUN_SETTINGS.items():
        given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
        if given:
            getattr(config, method)(**given)
    if options.local_mode:
        config.env_runners(num_env_runners=0).learners(num_learners=0).evaluation(evaluation_num_env_runners=0)
    if options.seed is not None:
        config.debugging(seed=options.seed)
    if options.verbose:
        config.debugging(log_level="DEBUG" if options.verbose > 1 else "INFO")
    elif config.log_level == AlgorithmConfig().log_level:
        # RLlib's warnings are about its own deprecations for the most part, and its errors come as exceptions as well.
        config.debugging(log_level="CRITICAL")
    report_episode_metrics(config)
    if config.env is None and not config.is_offline and not options.resume:
        raise UsageError("--env is missing: name the environment to train on.")
    experiment.stop = _stop(experiment, options)
    experiment.run_config = _run_config(experiment, options)
    experiment.tune_config = _tune_config(experiment, options)
    if options.restore:
        experiment.checkpoint = _restored_checkpoint(experiment, options.restore)


def check_writable(storage: str, name: str) -> None:
    """Raises CommandError where the experiment's results folder cannot be written; URIs are left to Tune."""
    if "://" in storage:
        return
    folder = Path(storage) / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CommandError(
            f"the results folder {folder} cannot be written ({error.strerror}); choose another with --local-dir."
        ) from error


def _stop(experiment: Experiment, options: TrainOptions) -> dict[str, float]:
    given = given_criteria(options)
    if options.stop is not None:
        return given
    return experiment.stop | given


def _run_config(experiment: Experiment, options: TrainOptions) -> RunConfig:
    base = experiment.run_config
    changes: dict[str, Any] = {"name": options.experiment_name or base.name or DEFAULT_EXPERIMENT_NAME}
    storage = options.local_dir or base.storage_path or DEFAULT_RESULTS_ROOT
    changes["storage_path"] = storage if "://" in storage else str(Path(storage).expanduser().absolute())
    if experiment.stop or options.stop is not None:
        changes["stop"] = MetricStopper(experiment.stop)
    changes["checkpoint_config"] = _checkpoint_config(base.checkpoint_config, options)
    return dataclasses.replace(base, **changes)


def _checkpoint_config(base: CheckpointConfig | None, options: TrainOptions) -> CheckpointConfig:
    base = base or CheckpointConfig(
        checkpoint_frequency=DEFAULT_CHECKPOINT_FREQUENCY,
        num_to_keep=DEFAULT_CHECKPOINTS_KEPT,
        checkpoint_at_end=True,
    )
    changes: dict[str, Any] = {}
    if options.checkpoint_freq is not None:
        changes["checkpoint_frequency"] = options.checkpoint_freq
    if options.keep_checkpoints_num is not None:
        changes["num_to_keep"] = options.keep_checkpoints_num or None
    changes["checkpoint_at_end"] = base.checkpoint_at_end is not False
    if options.checkpoint_at_end is not None:
        changes["checkpoint_at_end"] = options.checkpoint_at_end
    if options.checkpoint_score_attr is not None:
        lowest = options.checkpoint_score_attr.startswith("min-")
        changes["checkpoint_score_attribute"] = options.checkpoint_score_attr.removeprefix("min-")
        changes["checkpoint_score_order"] = "min" if lowest else "max"
    return dataclasses.replace(base, **changes)


def _tune_config(experiment: Experiment, options: TrainOptions) -> TuneConfig:
    changes: dict[str, Any] = {}
    if options.num_samples is not None:
        changes["num_samples"] = options.num_samples
    if options.scheduler:
        changes["scheduler"] = _scheduler(options.scheduler, options.scheduler_config)
    elif options.scheduler_config:
        raise UsageError("--scheduler-config needs --scheduler.")
    return dataclasses.replace(copy.copy(experiment.tune_config), **changes)


def _scheduler(name: str, config_text: str | None) -> TrialScheduler:
    if name.lower() not in SCHEDULER_IMPORT:
        known = ", ".join(SCHEDULER_IMPORT)
        raise UsageError(f"--scheduler: {name!r} is none of Tune's ({known}).{did_you_mean(name, SCHEDULER_IMPORT)}")
    arguments: Mapping[str, Any] = parse_json(config_text, "--scheduler-config") if config_text else {}
    # Schedulers that compare trials need a metric; the fifo scheduler takes none and drops it.
    defaults = {"metric": RETURN, "mode": "max", "time_attr": "training_iteration"}
    try:
        return create_scheduler(name, **(defaults | dict(arguments)))
    except (ValueError, TypeError, AssertionError, ImportError) as error:
        raise UsageError(f"--scheduler {name}: {one_line(str(error)) or type(error).__name__}") from error


def _restored_checkpoint(experiment: Experiment, path: str) -> Path:
    if "://" in path:
        raise UsageError(f"--restore: {path} is not on this machine; copy the checkpoint to a local folder first.")
    info = read_checkpoint(path)
    if info.algorithm is not experiment.algorithm:
        raise UsageError(
            f"--restore: {info.path} is a checkpoint of {info.algorithm.__name__}, "
            f"not of {experiment.algorithm.__name__}."
        )
    return info.path
