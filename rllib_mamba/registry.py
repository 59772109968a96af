"""Names of algorithms and environments, ours and RLlib's; the one place that knows Tune's private registry."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from ray.rllib.algorithms import registry as rllib_registry
from ray.rllib.env.env_context import EnvContext
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from ray.tune.registry import ENV_CREATOR, TRAINABLE_CLASS, _global_registry, register_env, register_trainable

EnvSpecifier = str | Callable[[EnvContext], MultiAgentEnv]
"""A registered name, "module:Callable", "pettingzoo:<module>", or a class or function that takes an `EnvContext`."""

PETTINGZOO_PREFIX = "pettingzoo:"


@dataclass(frozen=True)
class EnvironmentEntry:
    """Where one of our environments is ("module:Class"), and where the settings of named variants are, by name."""

    target: str
    presets: str | None = None


_FLATLAND = EnvironmentEntry("rllib_mamba.envs.flatland:FlatlandEnv", "rllib_mamba.envs.flatland:PRESETS")

ENVIRONMENTS = {
    "flatland_debug": _FLATLAND,
    "flatland_5_agents": _FLATLAND,
    "flatland_10_agents": _FLATLAND,
    "flatland_20_agents": _FLATLAND,
    "symbol_game": EnvironmentEntry("rllib_mamba.envs.symbol_game:SymbolGame"),
}

ALGORITHMS = {"MAMBA": "rllib_mamba.algorithms.mamba:MAMBA"}


def register() -> None:
    """Makes our names known to Tune and RLlib, as in `tune.Tuner("MAMBA")` and `config.environment("symbol_game")`.

    Importing `rllib_mamba` does it. Tune forgets names when a cluster that this process started is shut down: call it
    again before using them with the next one.
    """
    for name in ENVIRONMENTS:
        register_env(name, partial(_make_own_environment, name))
    for name in ALGORITHMS:
        register_trainable(name, get_algorithm_class(name))


# ---------------------------------------------------------------------- algorithms


def algorithm_names() -> list[str]:
    """The names of all algorithms, ours first."""
    return [*ALGORITHMS, *(name for name in rllib_registry.ALGORITHMS if name not in ALGORITHMS)]


def get_algorithm_class(name: str) -> type:
    """The `Algorithm` class of a name: ours, RLlib's, or one registered with Tune.

    Raises:
        ValueError: no such algorithm; the message lists the nearest names and all.
    """
    if name in ALGORITHMS:
        return _load(ALGORITHMS[name])
    if name in rllib_registry.ALGORITHMS:
        algorithm_class, _ = rllib_registry.ALGORITHMS[name]()
        return algorithm_class
    if _global_registry.contains(TRAINABLE_CLASS, name):
        return _global_registry.get(TRAINABLE_CLASS, name)
    raise ValueError(_unknown("algorithm", name, algorithm_names()))


# ---------------------------------------------------------------------- environments


def environment_names() -> list[str]:
    """The names of our environments."""
    return list(ENVIRONMENTS)


def make_environment(specifier: EnvSpecifier, env_context: EnvContext) -> Any:
    """Makes an environment with the given settings.

    A name registered with Tune goes before one of ours, so that users can replace an environment.

    Raises:
        ValueError: no such environment; the message lists the nearest names and all.
        ImportError: the environment needs a package that is not installed.
    """
    if not isinstance(specifier, str):
        return specifier(env_context)
    if _global_registry.contains(ENV_CREATOR, specifier):
        return _global_registry.get(ENV_CREATOR, specifier)(env_context)
    if specifier in ENVIRONMENTS:
        return _make_own_environment(specifier, env_context)
    if specifier.startswith(PETTINGZOO_PREFIX):
        return _make_pettingzoo_environment(specifier, env_context)
    if ":" in specifier:
        return _load(specifier)(env_context)
    message = _unknown("environment", specifier, environment_names())
    raise ValueError(
        f"{message} Others are given as 'module:Class', as 'pettingzoo:<module>', as a class, or by a name registered "
        "with `ray.tune.register_env`."
    )


def _make_own_environment(name: str, env_context: EnvContext) -> MultiAgentEnv:
    entry = ENVIRONMENTS[name]
    settings = _load(entry.presets)[name] if entry.presets else {}
    return _load(entry.target)(env_context.copy_with_overrides(env_config={**settings, **env_context}))


def _make_pettingzoo_environment(specifier: str, env_context: EnvContext) -> MultiAgentEnv:
    from ray.rllib.env.wrappers.pettingzoo_env import ParallelPettingZooEnv, PettingZooEnv

    module = _import_pettingzoo_module(specifier)
    if hasattr(module, "parallel_env"):
        return ParallelPettingZooEnv(module.parallel_env(**env_context))
    if hasattr(module, "env"):
        return PettingZooEnv(module.env(**env_context))
    raise ValueError(f"{specifier!r}: the module {module.__name__} has neither `parallel_env` nor `env`.")


def _import_pettingzoo_module(specifier: str) -> Any:
    name = specifier.removeprefix(PETTINGZOO_PREFIX)
    for module_name in (f"pettingzoo.{name}", name):
        try:
            return importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            missing = error.name or ""
            if missing == "pettingzoo":
                continue
            if not module_name.startswith(missing):
                raise ImportError(f"{specifier!r} needs the package {missing!r}, which is not installed.") from error
    raise ValueError(
        f"{specifier!r}: there is no module pettingzoo.{name} and no module {name}. Expected is a module of PettingZoo "
        "('pettingzoo:butterfly.pistonball_v6') or one that defines `parallel_env` or `env`; PettingZoo itself comes "
        'with pip install "rllib-mamba[pettingzoo]".'
    )


# ---------------------------------------------------------------------- names


def _load(target: str) -> Any:
    module_name, _, attribute = target.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise ValueError(f"{target!r}: there is no module {error.name!r}; expected is 'module:Class'.") from error
    try:
        return getattr(module, attribute)
    except AttributeError as error:
        raise ValueError(f"{target!r}: the module {module_name} has no {attribute!r}.") from error


def _unknown(kind: str, name: str, known: Iterable[str]) -> str:
    by_lower_case = {candidate.lower(): candidate for candidate in known}
    nearest = [by_lower_case[match] for match in difflib.get_close_matches(name.lower(), by_lower_case)]
    hint = f" Did you mean {' or '.join(repr(candidate) for candidate in nearest)}?" if nearest else ""
    return f"Unknown {kind} {name!r}.{hint} Known: {', '.join(sorted(by_lower_case.values()))}."
