"""Starts or joins a Ray cluster, and fits a configuration to what it has."""

import logging
import math
import os
import warnings
from typing import Any

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

from rllib_mamba.algorithms.resources import require_local_gpu, require_resources
from rllib_mamba.cli.errors import CommandError, UsageError, one_line
from rllib_mamba.cli.options import TrainOptions

MAX_LEARNER_THREADS = 8

_LEVELS = {0: logging.CRITICAL, 1: logging.INFO, 2: logging.DEBUG}


def quieten(verbose: int) -> None:
    """Sets what the libraries print: nothing but errors that end the run, INFO for 1 and DEBUG for 2."""
    level = _LEVELS[min(verbose, 2)]
    logging.basicConfig(level=level if verbose else logging.ERROR)
    for name in ("ray", "ray.tune", "ray.rllib", "optuna"):
        logging.getLogger(name).setLevel(level)
    logging.getLogger("rllib_mamba").setLevel(level if verbose else logging.WARNING)
    if not verbose:
        warnings.simplefilter("ignore")
        os.environ.setdefault("PYTHONWARNINGS", "ignore")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")


def start_ray(options: TrainOptions) -> bool:
    """Connects to the cluster that the options ask for; returns whether it was started here, for this run alone.

    Raises CommandError when the cluster cannot be reached or started.
    """
    import ray

    if options.ray_address and (options.ray_num_cpus is not None or options.ray_num_gpus is not None):
        raise UsageError("--ray-num-cpus and --ray-num-gpus describe a new cluster; leave them out with --ray-address.")
    if ray.is_initialized():
        return False
    address = options.ray_address or os.environ.get("RAY_ADDRESS") or "local"
    try:
        ray.init(
            address=address,
            num_cpus=options.ray_num_cpus,
            num_gpus=options.ray_num_gpus,
            include_dashboard=False,
            logging_level=_LEVELS[min(options.verbose, 2)],
            log_to_driver=options.verbose > 0,
        )
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise CommandError(f"cannot use the Ray cluster at {address!r}: {one_line(str(error))}") from error
    quieten(options.verbose)
    # Ray prints tracebacks of processes that fail even with `log_to_driver=False`; the cause is reported at the end.
    ray._private.worker._worker_logs_enabled = options.verbose > 0
    return address == "local"


def requested_bundles(algorithm: type[Algorithm], config: AlgorithmConfig) -> list[dict[str, float]]:
    """Returns what each process of one trial asks for, the main process first.

    Raises UsageError for settings that the algorithm refuses.
    """
    # MAMBA compares with the cluster what a trial of Tune asks for.
    request_of: Any = getattr(algorithm, "resource_request", algorithm.default_resource_request)
    try:
        request = request_of(config.copy(copy_frozen=False))
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise UsageError(one_line(str(error))) from error
    return [dict(bundle) for bundle in request.bundles]


def total(bundles: list[dict[str, float]], kind: str) -> float:
    """Returns the sum over processes of one kind of resource."""
    return sum(bundle.get(kind, 0) for bundle in bundles)


def check_fits(config: AlgorithmConfig, bundles: list[dict[str, float]], in_process: bool) -> None:
    """Raises CommandError where a trial needs more of anything than the cluster has.

    A run `in_process` takes nothing from the cluster for its main process.
    """
    try:
        if in_process:
            require_local_gpu(config)
        require_resources(config, bundles[1:] if in_process else bundles)
    except ValueError as error:
        raise CommandError(one_line(str(error))) from error


def fit_env_runners(algorithm: type[Algorithm], config: AlgorithmConfig, cpus: float) -> str | None:
    """Lowers an algorithm's default number of env runners to what `cpus` allow; returns a line that says so.

    Raises UsageError for settings that the algorithm refuses.
    """
    wanted = config.num_env_runners
    excess = total(requested_bundles(algorithm, config), "CPU") - cpus
    if excess <= 0 or not wanted or not config.num_cpus_per_env_runner:
        return None
    fitting = max(0, wanted - math.ceil(excess / config.num_cpus_per_env_runner))
    config.env_runners(num_env_runners=fitting)
    return f"{wanted} env runners, the default, need more than the {cpus:g} CPUs there are: using {fitting}."


def describe_trials(trials: int, bundles: list[dict[str, float]], cpus: float) -> str:
    """Returns a line that says how many of the trials run side by side, and what each has."""
    needed = total(bundles, "CPU")
    side_by_side = min(trials, int(cpus // needed)) if needed else trials
    each = "1 CPU" if needed == 1 else f"{needed:g} CPUs"
    return f"{trials} trials, {side_by_side} at a time with {each} each."


def give_spare_cpus(algorithm: type[Algorithm], config: AlgorithmConfig, cpus: float, trials: int) -> None:
    """Gives the processes that learn the CPUs that no other process uses, when `trials` run side by side.

    Ray limits the threads of a process to the CPUs it asked for, so a learner that asks for one computes on one
    thread whatever the machine has. Settings that are not RLlib's defaults are left alone.
    """
    defaults = AlgorithmConfig()
    needed = total(requested_bundles(algorithm, config), "CPU")
    if needed <= 0 or needed > cpus:
        return
    side_by_side = max(1, min(trials, int(cpus // needed)))
    spare = int(cpus / side_by_side - needed)
    if spare <= 0 or config.num_gpus_per_learner:
        return
    if config.num_learners == 0 and config.num_cpus_for_main_process == defaults.num_cpus_for_main_process:
        config.resources(num_cpus_for_main_process=min(config.num_cpus_for_main_process + spare, MAX_LEARNER_THREADS))
    elif config.num_learners and config.num_cpus_per_learner == defaults.num_cpus_per_learner:
        config.learners(num_cpus_per_learner=min(1 + spare // config.num_learners, MAX_LEARNER_THREADS))
