"""What to train and how: one description, from the command line or from a file, before anything starts."""

import copy
import dataclasses
import os
import shlex
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.tune import CheckpointConfig, RunConfig, TuneConfig
from ray.tune.schedulers import PopulationBasedTraining
from ray.tune.search import BasicVariantGenerator

from rllib_mamba import registry
from rllib_mamba.cli.checkpoint import read_checkpoint
from rllib_mamba.cli.environments import report_episode_metrics, set_environment
from rllib_mamba.cli.errors import CommandError, UsageError, one_line
from rllib_mamba.cli.options import (
    DEFAULT_CHECKPOINT_FREQUENCY,
    DEFAULT_CHECKPOINTS_KEPT,
    DEFAULT_EXPERIMENT_NAME,
    DEFAULT_RESULTS_ROOT,
    TrainOptions,
)
from rllib_mamba.cli.search_space import check_values, largest, read_search_space, split, take_from, without
from rllib_mamba.cli.settings import apply_preset, apply_settings, merged, parse_settings
from rllib_mamba.cli.stopping import MetricStopper, given_criteria
from rllib_mamba.cli.sweep import (
    Sweep,
    check_metric,
    check_together,
    make_scheduler,
    make_search,
    metric_of,
    parse_arguments,
    scheduler_note,
)

POPULATION_CHECKPOINTS_KEPT = 4

_RUN_SETTINGS = {
    "env_runners": ("num_env_runners", "num_envs_per_env_runner"),
    "learners": ("num_learners", "num_gpus_per_learner"),
    "evaluation": ("evaluation_interval", "evaluation_duration"),
}


@dataclass
class Experiment:
    """An algorithm's configuration with stop criteria and what a file sets for Tune.

    Where the sweep searches a setting, `config` has its largest value. `source` holds the arguments that name the
    experiment again (`--algo PPO`, `file FILE`), for the line that says how to resume it; `notes` are lines about what
    was decided for the user.
    """

    algorithm: type[Algorithm]
    config: AlgorithmConfig
    source: list[str]
    stop: dict[str, float] = field(default_factory=dict)
    run_config: RunConfig = field(default_factory=RunConfig)
    tune_config: TuneConfig = field(default_factory=TuneConfig)
    checkpoint: Path | None = None
    notes: list[str] = field(default_factory=list)
    sweep: Sweep = field(default_factory=Sweep)

    @property
    def num_trials(self) -> int:
        """Trials in all."""
        return self.sweep.num_trials(self.tune_config.num_samples)

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
        default = Sweep()
        by = [] if self.sweep.metric == default.metric else ["--metric", self.sweep.metric]
        by += [] if self.sweep.mode == default.mode else ["--mode", self.sweep.mode]
        return shlex.join(["rllib", "train", *self.source, "--experiment-name", self.name, *where, *by, "--resume"])


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
    fixed, searched = split(read_search_space(settings))
    experiment.sweep.space = merged(without(take_from(config), fixed), searched)
    apply_settings(config, merged(fixed, largest(searched)))
    if environment:
        note = set_environment(config, environment)
        experiment.notes += [note] if note else []
    for method, names in _RUN_SETTINGS.items():
        given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
        if given:
            getattr(config, method)(**given)
    if options.local_mode:
        config.env_runners(num_env_runners=0).learners(num_learners=0).evaluation(evaluation_num_env_runners=0)
        if getattr(config, "overlap_acting", False):
            config.training(overlap_acting=False)
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
    _keep_enough_checkpoints(experiment, options)
    _check_sweep(experiment, options)
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
    # A run configuration that says nothing of checkpoints holds such a one.
    if base is None or base == CheckpointConfig():
        base = CheckpointConfig(
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
    base, sweep = experiment.tune_config, experiment.sweep
    changes: dict[str, Any] = {}
    if options.num_samples is not None:
        changes["num_samples"] = options.num_samples
    arguments = parse_arguments(options.scheduler_config, "--scheduler-config", options.scheduler, "--scheduler")
    search_arguments = parse_arguments(options.search_config, "--search-config", options.search, "--search")
    own_metric = base.metric or getattr(base.scheduler, "metric", None)
    sweep.metric, sweep.mode = metric_of(
        options, arguments.pop("metric", own_metric), arguments.pop("mode", base.mode or None)
    )
    # A resumed experiment has them already.
    if not options.resume:
        trials = sweep.num_trials(changes.get("num_samples", base.num_samples))
        check_together(options.scheduler, options.search, trials)
        if options.scheduler:
            scheduler = make_scheduler(options.scheduler, arguments, sweep, experiment.config, experiment.stop)
            changes["scheduler"] = scheduler
            note = scheduler_note(scheduler, arguments, experiment.stop)
            experiment.notes += [note] if note else []
        if options.search:
            changes["search_alg"] = make_search(options.search, search_arguments, sweep, options.seed)
        elif sweep.space and options.seed is not None and base.search_alg is None:
            changes["search_alg"] = BasicVariantGenerator(random_state=options.seed)
        if options.scheduler or options.search:
            changes |= {"metric": sweep.metric, "mode": sweep.mode}
    return dataclasses.replace(copy.copy(base), **changes)


def _keep_enough_checkpoints(experiment: Experiment, options: TrainOptions) -> None:
    """A population's trials go on from each other's checkpoints, which must not be gone by then."""
    checkpoint_config = experiment.run_config.checkpoint_config
    population = isinstance(experiment.tune_config.scheduler, PopulationBasedTraining)
    if population and options.keep_checkpoints_num is None and checkpoint_config and checkpoint_config.num_to_keep:
        enough = max(checkpoint_config.num_to_keep, POPULATION_CHECKPOINTS_KEPT)
        experiment.run_config.checkpoint_config = dataclasses.replace(checkpoint_config, num_to_keep=enough)


def _check_sweep(experiment: Experiment, options: TrainOptions) -> None:
    if options.resume:
        return
    if options.metric:
        check_metric(options.metric, experiment.config)
    if experiment.sweep.space:
        if options.no_tune or options.local_mode:
            mode = "--no-tune" if options.no_tune else "--local-mode"
            raise UsageError(f"values to search (grid:, loguniform:, ...) need Tune: leave out {mode}.")
        check_values(experiment.config, experiment.sweep.space)


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
