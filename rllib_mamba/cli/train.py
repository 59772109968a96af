"""`rllib train`: from options or a file to trained checkpoints."""

from pathlib import Path

from rllib_mamba.cli import cluster
from rllib_mamba.cli.environments import environment_name
from rllib_mamba.cli.errors import INTERRUPTED, UsageError
from rllib_mamba.cli.experiment import Experiment, check_writable, experiment_from_options
from rllib_mamba.cli.files import experiments_from_file
from rllib_mamba.cli.local_run import run_locally
from rllib_mamba.cli.loggers import logger_callbacks
from rllib_mamba.cli.options import TrainOptions
from rllib_mamba.cli.outcome import TrialOutcome, exit_code, return_criteria
from rllib_mamba.cli.stopping import describe
from rllib_mamba.cli.sweep_table import is_sweep, ranked, sweep_table
from rllib_mamba.cli.tune_run import check_resumable, run_with_tune
from rllib_mamba.registry import register


def train(options: TrainOptions, file: Path | None = None) -> int:
    """Runs `rllib train` or `rllib train file`; returns the exit code.

    Raises CommandError, in one line, for whatever is wrong: all that can be known beforehand before anything starts.
    """
    cluster.quieten(options.verbose)
    # Tune forgets registered names when a cluster that this process started is shut down.
    register()
    _check_combinations(options)
    experiments = experiments_from_file(file, options) if file else [experiment_from_options(options)]
    for experiment in experiments:
        _check(experiment, options)
    own_cluster = cluster.start_ray(options)
    codes = []
    for experiment in experiments:
        codes.append(_train_one(experiment, options, own_cluster))
        if codes[-1] == INTERRUPTED:
            break
    return max(codes)


def _check(experiment: Experiment, options: TrainOptions) -> None:
    """Finds what is wrong before a cluster is started."""
    if options.as_test and not return_criteria(experiment.stop):
        raise UsageError("--as-test needs --stop-reward: the return that counts as passed.")
    logger_callbacks(options, experiment.name)
    check_writable(experiment.storage, experiment.name)
    if options.resume:
        check_resumable(experiment)
    else:
        # Settings that the algorithm refuses are found here.
        cluster.requested_bundles(experiment.algorithm, experiment.config)


def _train_one(experiment: Experiment, options: TrainOptions, own_cluster: bool) -> int:
    in_process = bool(options.no_tune or options.local_mode)
    if not (options.resume or options.local_mode):
        _fit(experiment, options, own_cluster, in_process)
    print(_headline(experiment, options), *experiment.notes, sep="\n", flush=True)
    outcomes, interrupted = (run_locally if in_process else run_with_tune)(experiment, options)
    return _finish(experiment, options, outcomes, interrupted)


def _check_combinations(options: TrainOptions) -> None:
    if options.resume and options.restore:
        raise UsageError(
            "--resume goes on with an interrupted experiment, --restore begins a new one from a checkpoint: choose one."
        )
    if options.no_tune or options.local_mode:
        mode = "--no-tune" if options.no_tune else "--local-mode"
        needs_tune = {
            "--resume": options.resume,
            "--scheduler": options.scheduler,
            "--search": options.search,
            "--wandb-key": options.wandb_key or options.wandb_project or options.wandb_run_name,
            "--mlflow-uri": options.mlflow_uri,
        }
        for name, value in needs_tune.items():
            if value:
                raise UsageError(f"{name} needs Tune: leave out {mode}.")
        if options.local_dir and "://" in options.local_dir:
            raise UsageError(f"--local-dir: a URI needs Tune; give a path, or leave out {mode}.")


def _fit(experiment: Experiment, options: TrainOptions, own_cluster: bool, in_process: bool) -> None:
    """Fits processes to the cluster: fewer default env runners, spare CPUs to the learner, an error for the rest."""
    import ray

    resources = ray.cluster_resources()
    config, algorithm = experiment.config, experiment.algorithm
    is_default = config.num_env_runners == algorithm.get_default_config().num_env_runners
    named = options.num_env_runners is not None or any("num_env_runners" in text for text in options.config or [])
    if is_default and not named:
        note = cluster.fit_env_runners(algorithm, config, resources.get("CPU", 0))
        experiment.notes += [note] if note else []
    if own_cluster and not in_process:
        cluster.give_spare_cpus(algorithm, config, resources.get("CPU", 0), experiment.num_trials)
    bundles = cluster.requested_bundles(algorithm, config)
    cluster.check_fits(config, bundles, in_process)
    if experiment.num_trials > 1 and not in_process:
        experiment.notes.append(cluster.describe_trials(experiment.num_trials, bundles, resources.get("CPU", 0)))


def _headline(experiment: Experiment, options: TrainOptions) -> str:
    if options.resume:
        return f"Resuming the experiment in {experiment.storage}/{experiment.name} with its own settings."
    shown = environment_name(experiment.config)
    where = f"Results in {experiment.storage}/{experiment.name}."
    own_stop = experiment.run_config.stop is not None and not experiment.stop
    when = "" if own_stop else " " + describe(experiment.stop)
    return f"Training {experiment.algorithm.__name__} on {shown}. {where}{when}"


def _finish(experiment: Experiment, options: TrainOptions, outcomes: list[TrialOutcome], interrupted: bool) -> int:
    sweep = experiment.sweep
    shown = list(outcomes)
    if is_sweep(outcomes):
        print("\n".join(sweep_table(outcomes, sweep.metric, sweep.mode)), flush=True)
        best = ranked(outcomes, sweep.mode)[0]
        shown = [outcome for outcome in outcomes if outcome is best or outcome.error is not None]
    for outcome in shown:
        print("\n".join(outcome.lines()), flush=True)
    if interrupted and not (options.no_tune or options.local_mode):
        print(f"  go on with  {experiment.resume_line()}", flush=True)
    code, reason = exit_code(outcomes, experiment.stop, interrupted, bool(options.as_test))
    if reason:
        _fail(reason, outcomes, options.verbose)
    return code


def _fail(reason: str, outcomes: list[TrialOutcome], verbose: int) -> None:
    import sys
    import traceback

    if verbose > 1:
        for outcome in outcomes:
            if outcome.error is not None:
                traceback.print_exception(outcome.error)
    print(f"rllib: {reason}", file=sys.stderr, flush=True)
