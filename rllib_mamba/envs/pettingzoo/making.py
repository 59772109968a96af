"""From the name of a module to the environment it makes."""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from rllib_mamba.envs.pettingzoo.game import PettingZooGame
from rllib_mamba.envs.pettingzoo.parallel import ParallelGame
from rllib_mamba.envs.pettingzoo.turn_based import TurnBasedGame

_PREFIX = "pettingzoo:"
_SEED = "seed"
_FAMILIES = ("atari", "butterfly", "classic", "mpe2", "sisl")


def make_pettingzoo(module_name: str, config: Mapping[str, Any]) -> PettingZooGame:
    """Makes the game of a module: the one in which all act at once where the module has both kinds.

    Args:
        module_name: a module of PettingZoo ("butterfly.pistonball_v6") or any other ("mpe2.simple_spread_v3") that
            defines `parallel_env` or `env`.
        config: the game's keyword arguments, and `seed` (see `PettingZooGame`).

    Raises:
        ValueError: there is no such module, it defines no game, or the game does not take one of the arguments.
        ImportError: PettingZoo, or a package that the game needs, is not installed.
    """
    specifier = _PREFIX + module_name
    module = _import_module(module_name, specifier)
    kinds: dict[str, type[PettingZooGame]] = {"parallel_env": ParallelGame, "env": TurnBasedGame}
    for function, environment in kinds.items():
        if hasattr(module, function):
            arguments = {name: value for name, value in config.items() if name != _SEED}
            game = _call(getattr(module, function), module, arguments, specifier)
            index = (getattr(config, "worker_index", 0) or 0, getattr(config, "vector_index", 0) or 0)
            return environment(game, config.get(_SEED), index)
    raise ValueError(f"{specifier!r}: the module {module.__name__} has neither `parallel_env` nor `env`.")


# ---------------------------------------------------------------------- modules


def _import_module(name: str, specifier: str) -> ModuleType:
    try:
        importlib.import_module("pettingzoo")
    except ModuleNotFoundError as error:
        raise ImportError(
            f'{specifier!r} needs PettingZoo, which is not installed: pip install "rllib-mamba[pettingzoo]"'
        ) from error
    for module_name in (f"pettingzoo.{name}", name):
        try:
            return importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            missing = error.name or ""
            if not f"{module_name}.".startswith(f"{missing}."):
                family = name.partition(".")[0]
                hint = f': pip install "pettingzoo[{family}]"' if module_name != name else ""
                raise ImportError(
                    f"{specifier!r} needs the package {missing!r}, which is not installed{hint}"
                ) from error
    raise ValueError(
        f"{specifier!r}: there is no module pettingzoo.{name} and no module {name}.{_similar_modules(name)} Expected "
        "is a module of PettingZoo ('pettingzoo:butterfly.pistonball_v6') or another one that defines `parallel_env` "
        "or `env` ('pettingzoo:mpe2.simple_spread_v3'; mpe2 is a package of its own)."
    )


def _similar_modules(name: str) -> str:
    games = {game: f"{_PREFIX}{family}.{game}" for family in _FAMILIES for game in _games_of(family)}
    nearest = difflib.get_close_matches(name.rpartition(".")[2], games)
    return f" Did you mean {' or '.join(repr(games[game]) for game in nearest)}?" if nearest else ""


def _games_of(family: str) -> list[str]:
    for package_name in (f"pettingzoo.{family}", family):
        try:
            path = importlib.import_module(package_name).__path__
        except ImportError:
            continue
        return [module.name for module in pkgutil.iter_modules(path) if not module.ispkg]
    return []


# ---------------------------------------------------------------------- arguments


def _call(function: Callable[..., Any], module: ModuleType, arguments: Mapping[str, Any], specifier: str) -> Any:
    known = _parameters(function, getattr(module, "raw_env", None))
    if known is not None:
        for name in arguments:
            if name not in known:
                raise ValueError(_unknown_argument(specifier, name, [*known, _SEED]))
    try:
        return function(**arguments)
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        raise ValueError(f"{specifier!r}: the game does not take one of its arguments: {error}.") from error


def _parameters(*functions: Any) -> list[str] | None:
    """The keyword arguments of the first function that names all of its own; None where none does."""
    for function in functions:
        if function is None:
            continue
        parameters = inspect.signature(function).parameters.values()
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return [parameter.name for parameter in parameters]
    return None


def _unknown_argument(specifier: str, name: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {nearest[0]!r}? " if nearest else ""
    return f"{specifier!r} takes no argument {name!r}. {hint}It takes {', '.join(known)}."
