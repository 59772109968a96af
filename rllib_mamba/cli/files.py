"""Experiments in files: Python that defines `config`, or YAML of the old tuned-example form."""

import contextlib
import runpy
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.tune import RunConfig, TuneConfig

from rllib_mamba.cli.errors import CommandError, UsageError, one_line
from rllib_mamba.cli.experiment import Experiment, apply_options
from rllib_mamba.cli.old_yaml import experiments_from_yaml
from rllib_mamba.cli.options import TrainOptions
from rllib_mamba.cli.settings import parse_stop


def experiments_from_file(file: Path, options: TrainOptions) -> list[Experiment]:
    """Builds the experiments that `file` describes, overridden by the command line.

    Of several `--experiment-name` chooses one.

    Raises UsageError where the file is no experiment, CommandError where it cannot be run.
    """
    if not file.is_file():
        raise UsageError(f"there is no file {file}.")
    if file.suffix in (".yaml", ".yml"):
        experiments = experiments_from_yaml(file)
    elif file.suffix == ".py":
        experiments = [_from_python(file)]
    else:
        raise UsageError(f"{file} is neither Python (.py) nor YAML (.yaml).")
    if len(experiments) > 1 and options.experiment_name:
        names = [experiment.name for experiment in experiments]
        if options.experiment_name not in names:
            raise UsageError(f"--experiment-name: {file} holds the experiments {', '.join(names)}: choose one of them.")
        experiments = [experiments[names.index(options.experiment_name)]]
    for experiment in experiments:
        apply_options(experiment, options)
    return experiments


def _from_python(file: Path) -> Experiment:
    try:
        with _run_as_script(file):
            defined = runpy.run_path(str(file))
    except SystemExit as error:
        raise CommandError(f"{file} ended with exit code {error.code} before it defined `config`.") from error
    except Exception as error:
        raise CommandError(f"{_place(file, error)}: {type(error).__name__}: {_what(file, error)}") from error
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


def _place(file: Path, error: Exception) -> str:
    """The file, and its last line that had a part in the error."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    if isinstance(error, SyntaxError) and error.filename == str(file):
        lines.append(error.lineno)
    return f"{file}, line {lines[-1]}" if lines else f"{file} fails"


def _what(file: Path, error: Exception) -> str:
    if isinstance(error, SyntaxError) and error.filename == str(file):
        # The place is named already.
        return one_line(error.msg)
    return one_line(str(error))


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
