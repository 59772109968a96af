"""Experiments in files: Python that defines `config`, or YAML of the old tuned-example form."""

import contextlib
import runpy
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.tune import CheckpointConfig, RunConfig, TuneConfig

from rllib_mamba.cli.environments import set_environment
from rllib_mamba.cli.errors import CommandError, UsageError, one_line
from rllib_mamba.cli.experiment import Experiment, apply_options, get_algorithm
from rllib_mamba.cli.options import TrainOptions
from rllib_mamba.cli.settings import apply_settings, parse_stop

_OLD_SETTINGS = {
    "num_sgd_iter": "num_epochs",
    "sgd_minibatch_size": "minibatch_size",
    "num_envs_per_worker": "num_envs_per_env_runner",
    "evaluation_num_workers": "evaluation_num_env_runners",
    "num_gpus": "num_gpus_per_learner",
    "model": "model_config",
}
_OLD_KEYS = {
    "run",
    "env",
    "stop",
    "config",
    "checkpoint_config",
    "num_samples",
    "checkpoint_freq",
    "checkpoint_at_end",
    "keep_checkpoints_num",
    "local_dir",
    "storage_path",
}


def experiment_from_file(file: Path, options: TrainOptions) -> Experiment:
    """Builds the experiment that `file` describes, overridden by the command line.

    Raises UsageError where the file is no experiment, CommandError where it cannot be run.
    """
    if not file.is_file():
        raise UsageError(f"there is no file {file}.")
    if file.suffix in (".yaml", ".yml"):
        experiment = _from_yaml(file)
    elif file.suffix == ".py":
        experiment = _from_python(file)
    else:
        raise UsageError(f"{file} is neither Python (.py) nor YAML (.yaml).")
    apply_options(experiment, options)
    return experiment


def _from_python(file: Path) -> Experiment:
    try:
        with _run_as_script(file):
            defined = runpy.run_path(str(file))
    except SystemExit as error:
        raise CommandError(f"{file} ended with exit code {error.code} before it defined `config`.") from error
    except Exception as error:
        raise CommandError(f"{file} fails: {type(error).__name__}: {one_line(str(error))}") from error
    config = defined.get("config")
    if not isinstance(config, AlgorithmConfig):
        found = "does not" if config is None else f"defines a {type(config).__name__}, it should"
        raise UsageError(f"{file} {found} define `config`, the configuration of an RLlib algorithm.")
    if config.algo_class is None:
        raise UsageError(f"{file}: `config` belongs to no algorithm; begin with PPOConfig(), MAMBAConfig(), ...")
    experiment = Experiment(config.algo_class, config.copy(copy_frozen=False), ["file", str(file)])
    experiment.run_config = _checked(file, defined, "run_config", RunConfig) or RunConfig()
    experiment.tune_config = _checked(file, defined, "tune_config", TuneConfig) or TuneConfig()
    stop = defined.get("stop", experiment.run_config.stop)
    if isinstance(stop, Mapping):
        experiment.stop = parse_stop(stop, f"{file}: stop")
    elif stop is not None:
        experiment.run_config.stop = stop
    return experiment


def _from_yaml(file: Path) -> Experiment:
    try:
        content = yaml.safe_load(file.read_text())
    except yaml.YAMLError as error:
        raise UsageError(f"{file} is not YAML: {one_line(str(error))}") from error
    if not isinstance(content, dict) or len(content) != 1 or not isinstance(next(iter(content.values())), dict):
        raise UsageError(f"{file}: expected one experiment: its name, and under it `run`, `env`, `stop`, `config`.")
    [(name, body)] = content.items()
    unknown = set(body) - _OLD_KEYS
    if unknown:
        raise UsageError(f"{file}: {', '.join(sorted(unknown))} is not understood; known are {', '.join(_OLD_KEYS)}.")
    if "run" not in body:
        raise UsageError(f"{file}: `run`, the name of the algorithm, is missing.")
    algorithm = get_algorithm(body["run"])
    experiment = Experiment(algorithm, algorithm.get_default_config(), ["file", str(file)])
    settings = {_OLD_SETTINGS.get(key, key): value for key, value in (body.get("config") or {}).items()}
    environment = body.get("env") or settings.pop("env", None)
    if settings.pop("framework", "torch") != "torch":
        raise UsageError(f"{file}: only the framework torch is supported.")
    apply_settings(experiment.config, settings, option=str(file))
    if environment:
        note = set_environment(experiment.config, environment)
        experiment.notes += [note] if note else []
    experiment.stop = parse_stop(body.get("stop") or {}, f"{file}: stop")
    experiment.run_config = RunConfig(
        name=str(name),
        storage_path=body.get("storage_path") or body.get("local_dir"),
        checkpoint_config=_old_checkpoint_config(body),
    )
    experiment.tune_config = TuneConfig(num_samples=body.get("num_samples", 1))
    return experiment


def _old_checkpoint_config(body: Mapping[str, Any]) -> CheckpointConfig | None:
    values = dict(body.get("checkpoint_config") or {})
    for old, new in (
        ("checkpoint_freq", "checkpoint_frequency"),
        ("checkpoint_at_end", "checkpoint_at_end"),
        ("keep_checkpoints_num", "num_to_keep"),
    ):
        if old in body:
            values[new] = body[old]
    return CheckpointConfig(**values) if values else None


def _checked(file: Path, defined: Mapping[str, Any], name: str, kind: type) -> Any:
    value = defined.get(name)
    if value is not None and not isinstance(value, kind):
        raise UsageError(f"{file}: `{name}` should be a ray.tune.{kind.__name__}, it is a {type(value).__name__}.")
    return value


@contextlib.contextmanager
def _run_as_script(file: Path) -> Iterator[None]:
    """Lets the file see its own folder on the path and an empty command line, as if it were run alone."""
    arguments, path = sys.argv, list(sys.path)
    sys.argv = [str(file)]
    sys.path.insert(0, str(file.resolve().parent))
    try:
        yield
    finally:
        sys.argv = arguments
        sys.path[:] = path
