"""Reads what an RLlib checkpoint says about itself, without a cluster and without building the algorithm."""

import json
import pickle
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

from rllib_mamba.cli.errors import CommandError, one_line

CONSTRUCTOR_FILE = Algorithm.CLASS_AND_CTOR_ARGS_FILE_NAME


@dataclass(frozen=True)
class CheckpointInfo:
    """A checkpoint directory, the algorithm that wrote it, and a copy of its configuration that may be changed."""

    path: Path
    algorithm: type[Algorithm]
    config: AlgorithmConfig


def read_checkpoint(path: str | Path) -> CheckpointInfo:
    """Returns what the algorithm checkpoint directory at `path` holds.

    Raises CommandError, in one line, when it is missing, damaged, of the old API stack, or no checkpoint at all.
    """
    directory = Path(path).expanduser().absolute()
    if not directory.is_dir():
        raise CommandError(f"there is no checkpoint directory {directory}.")
    file = directory / CONSTRUCTOR_FILE
    if not file.is_file():
        raise CommandError(_not_a_checkpoint(directory))
    try:
        with file.open("rb") as stream:
            content: dict[str, Any] = pickle.load(stream)
        algorithm = _importable(content["class"])
        arguments, keywords = content["ctor_args_and_kwargs"]
        state = keywords.get("config") or arguments[0]
        config = state if isinstance(state, AlgorithmConfig) else AlgorithmConfig.from_state(state)
        json.loads((directory / Algorithm.METADATA_FILE_NAME).read_text())
    except ModuleNotFoundError as error:
        raise CommandError(
            f"the checkpoint {directory} needs the Python module {error.name!r}, which is not installed; "
            "run the command where it can be imported."
        ) from error
    except Exception as error:
        raise CommandError(
            f"the checkpoint {directory} is damaged: {file.name} cannot be read "
            f"({type(error).__name__}: {one_line(str(error))})."
        ) from error
    if not (isinstance(algorithm, type) and issubclass(algorithm, Algorithm)):
        raise CommandError(f"{directory} is a checkpoint of {algorithm!r}, not of an RLlib algorithm.")
    if config.algo_class is None:
        config.algo_class = algorithm
    return CheckpointInfo(directory, algorithm, config.copy(copy_frozen=False))


def _importable(algorithm: Any) -> Any:
    """The class itself, in place of the copy that Ray makes of the class of an actor, as a trial of Tune is one."""
    for candidate in getattr(algorithm, "__mro__", ()):
        module = sys.modules.get(candidate.__module__)
        if candidate.__name__ == algorithm.__name__ and getattr(module, candidate.__qualname__, None) is candidate:
            return candidate
    return algorithm


def _not_a_checkpoint(directory: Path) -> str:
    if (directory / "rllib_checkpoint.json").is_file():
        return f"{directory} is a checkpoint of RLlib's old API stack, which this command does not read."
    inside = sorted(directory.glob("**/checkpoint_*/" + CONSTRUCTOR_FILE))
    hint = f" Did you mean {inside[-1].parent}?" if inside else ""
    return f"{directory} is no RLlib checkpoint: it has no {CONSTRUCTOR_FILE}.{hint}"
