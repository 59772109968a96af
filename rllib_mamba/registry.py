"""Names of algorithms and environments, ours and RLlib's; the one place that knows Tune's private registry."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ray.rllib.algorithms import registry as rllib_registry
from ray.rllib.env.env_context import EnvContext
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from ray.tune.registry import ENV_CREATOR, TRAINABLE_CLASS, _global_registry, register_env, register_trainable

EnvSpecifier = str | Callable[[EnvContext], MultiAgentEnv]
"""A registered name, "module:Callable", "pettingzoo:<module>", or a class or function that takes an `EnvContext`."""

PETTINGZOO_PREFIX = "pettingzoo:"
PETTINGZOO_TARGET = "rllib_mamba.envs.pettingzoo:make_pettingzoo"


@dataclass(frozen=True)
class EnvironmentEntry:
    """Where one of our environments is ("module:Class"), and what the name stands for.

    `settings` are given to it, `presets` ("module:dictionary") holds settings by name; those of the user win.
    """

    target: str
    presets: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


_FLATLAND = EnvironmentEntry("rllib_mamba.envs.flatland:FlatlandEnv", "rllib_mamba.envs.flatland:PRESETS")

_SMAX_SCENARIOS = (
    *("3m", "2s3z", "25m", "3s5z", "8m", "5m_vs_6m", "10m_vs_11m", "27m_vs_30m", "3s5z_vs_3s6z", "3s_vs_5z"),
    *("6h_vs_8z", "smacv2_5_units", "smacv2_10_units", "smacv2_20_units"),
)
_SMAC_MAPS = (
    *("3m", "8m", "25m", "5m_vs_6m", "8m_vs_9m", "10m_vs_11m", "27m_vs_30m", "MMM", "MMM2", "2s3z", "3s5z"),
    *("3s5z_vs_3s6z", "3s_vs_3z", "3s_vs_4z", "3s_vs_5z", "1c3s5z", "2m_vs_1z", "corridor", "6h_vs_8z"),
    *("2s_vs_1sc", "so_many_baneling", "bane_vs_bane", "2c_vs_64zg"),
)


def _smax(scenario: str) -> EnvironmentEntry:
    return EnvironmentEntry("rllib_mamba.envs.smax:SMAXEnv", settings={"scenario": scenario})


def _smac(map_name: str) -> EnvironmentEntry:
    return EnvironmentEntry("rllib_mamba.envs.smac:SMACEnv", settings={"map_name": map_name})


ENVIRONMENTS = {
    "flatland_debug": _FLATLAND,
    "flatland_5_agents": _FLATLAND,
    "flatland_10_agents": _FLATLAND,
    "flatland_15_agents": _FLATLAND,
    "flatland_20_agents": _FLATLAND,
    **{f"smax_{scenario}": _smax(scenario) for scenario in _SMAX_SCENARIOS},
    **{f"smac_{map_name}": _smac(map_name) for map_name in _SMAC_MAPS},
    "level_based_foraging": EnvironmentEntry("rllib_mamba.envs.level_based_foraging:ForagingEnv"),
    "symbol_game": EnvironmentEntry("rllib_mamba.envs.symbol_game:SymbolGame"),
}

FAMILIES: dict[str, Callable[[str], EnvironmentEntry]] = {"smax_": _smax, "smac_": _smac}
"""Prefixes of names that also stand for scenarios and maps of the user's own, registered with jaxmarl or smac."""

_being_made: ContextVar[frozenset[str]] = ContextVar("_being_made", default=frozenset())
"""Registered names whose environments are being made, by the code that runs now."""

ALGORITHMS = {
    "MAMBA": "rllib_mamba.algorithms.mamba:MAMBA",
    "MAPPO": "rllib_mamba.algorithms.mappo:MAPPO",
    "QMIX": "rllib_mamba.algorithms.qmix:QMIX",
}


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
    if specifier not in _being_made.get() and _global_registry.contains(ENV_CREATOR, specifier):
        # What is registered under a name may be made of what we know by the same name.
        token = _being_made.set(_being_made.get() | {specifier})
        try:
            return _global_registry.get(ENV_CREATOR, specifier)(env_context)
        finally:
            _being_made.reset(token)
    if specifier in ENVIRONMENTS or specifier.startswith(tuple(FAMILIES)):
        return _make_own_environment(specifier, env_context)
    if specifier.startswith(PETTINGZOO_PREFIX):
        return _load(PETTINGZOO_TARGET)(specifier.removeprefix(PETTINGZOO_PREFIX), env_context)
    if ":" in specifier:
        return _load(specifier)(env_context)
    message = _unknown("environment", specifier, environment_names())
    raise ValueError(
        f"{message} Others are given as 'module:Class', as 'pettingzoo:<module>', as a class, or by a name registered "
        "with `ray.tune.register_env`."
    )


def _make_own_environment(name: str, env_context: EnvContext) -> MultiAgentEnv:
    entry = ENVIRONMENTS.get(name) or _member_of_family(name)
    settings = {**entry.settings, **(_load(entry.presets)[name] if entry.presets else {})}
    env = _load(entry.target)(env_context.copy_with_overrides(env_config={**settings, **env_context}))
    # RLlib makes all sub-environments of an env runner from one context and leaves their index at 0.
    env_context.vector_index = (env_context.vector_index or 0) + 1
    return env


def _member_of_family(name: str) -> EnvironmentEntry:
    prefix = next(prefix for prefix in FAMILIES if name.startswith(prefix))
    return FAMILIES[prefix](name.removeprefix(prefix))


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
