"""The packages that StarCraft II is played through, and clear words where one of them or the game is missing."""

import importlib
import importlib.util
import inspect
import os
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_REPOSITORY = "git+https://github.com/oxwhirl/{name}.git"
_MAPS = "env.starcraft2.maps.smac_maps"
_HELP = "see the section SMAC of docs/environments.md"


@dataclass(frozen=True)
class StarCraftPackage:
    """`smac` or `smacv2`: what makes an environment, its arguments and their defaults, and the names of its maps."""

    name: str
    environment_class: type
    defaults: Mapping[str, Any]
    maps: frozenset[str]

    def check_game(self, map_name: str, version: str | None) -> None:
        """Looks for the game and the map, without launching anything.

        Raises:
            RuntimeError: one of them is missing; the message says what to do.
        """
        run_configs, maps = importlib.import_module("pysc2.run_configs"), importlib.import_module("pysc2.maps")
        try:
            run_configs.get(version=version).map_data(maps.get(map_name).path)
        except Exception as error:
            path = os.environ.get("SC2PATH")
            raise RuntimeError(
                f"StarCraft II or its map {map_name!r} was not found ({type(error).__name__}: {error}). Install the "
                "game, let the environment variable SC2PATH name its folder "
                f"({'it is not set' if path is None else f'now {path!r}'}), and put the folder SMAC_Maps of "
                f"{self.name} into its folder Maps; {_HELP}."
            ) from error


def load_package(name: str) -> StarCraftPackage:
    """Imports `smac` or `smacv2`.

    Raises:
        ImportError: it is missing, is another package of the same name, cannot be imported, or the other one is in use
            in this process; the message says what to do.
    """
    other = "smac" if name == "smacv2" else "smacv2"
    if f"{other}.{_MAPS}" in sys.modules:
        raise ImportError(
            f"{name} cannot be used in a process that has used {other}: PySC2 refuses two maps of one name. Use each "
            "in a process of its own."
        )
    if _is_missing(name):
        raise ImportError(
            f"the SMAC environment needs the package {name}, which is not installed: {_source(name)}; {_HELP}."
        )
    try:
        with warnings.catch_warnings():
            # The protocol of the game gives one for each of its hundreds of messages.
            warnings.simplefilter("ignore", DeprecationWarning)
            package = importlib.import_module(f"{name}.env")
            registry = importlib.import_module(f"{name}.{_MAPS}")
        starcraft = package.StarCraft2Env
        environment_class = starcraft if name == "smac" else package.StarCraftCapabilityEnvWrapper
    except Exception as error:
        raise ImportError(_what_to_do(name, error)) from error
    defaults = {key: parameter.default for key, parameter in inspect.signature(starcraft).parameters.items()}
    return StarCraftPackage(name, environment_class, defaults, frozenset(registry.get_smac_map_registry()))


def _what_to_do(name: str, error: Exception) -> str:
    part_missing = isinstance(error, ModuleNotFoundError) and str(error.name).startswith(f"{name}.")
    if part_missing or isinstance(error, AttributeError):
        return (
            f"the package {name} that is installed is not the StarCraft Multi-Agent Challenge (the one on PyPI is an "
            f"optimiser of hyperparameters): pip uninstall {name}, then {_source(name)}; {_HELP}."
        )
    if "Descriptors cannot be created directly" in str(error):
        return (
            f"{name} needs an older protobuf than the one installed: pip install 'protobuf<3.21', or set the "
            f"environment variable PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=python; {_HELP}."
        )
    return f"the package {name} is installed, but cannot be imported ({type(error).__name__}: {error}); {_HELP}."


def _source(name: str) -> str:
    return f'pip install "{name} @ {_REPOSITORY.format(name=name)}"'


def _is_missing(name: str) -> bool:
    spec = importlib.util.find_spec(name)
    # A mere folder of that name on the path has no origin. It must not be imported: RLlib's connectors walk through
    # all modules, and fail at one without a file.
    return spec is None or spec.origin is None
