"""Environment names on the command line, for algorithms of RLlib and ours alike."""

from functools import partial
from typing import Any

import gymnasium as gym
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.connectors.env_to_module import FlattenObservations
from ray.rllib.env.env_context import EnvContext
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from ray.tune.registry import ENV_CREATOR, _global_registry, register_env

from rllib_mamba import registry
from rllib_mamba.algorithms.team_config import TeamAlgorithmConfig
from rllib_mamba.cli.errors import UsageError, did_you_mean, one_line
from rllib_mamba.teams.metrics import EpisodeMetricsCallback

SHARED_MODULE = "shared_policy"

# RLlib's own algorithms know registered names only. Others of ours get one, which says what
# it stands for, so that a checkpoint can be evaluated in another process.
_REGISTERED_PREFIX = "rllib_mamba/"


def set_environment(config: AlgorithmConfig, name: str) -> str | None:
    """Sets the environment `name` on `config`; returns a line about what else had to be set, or None.

    Where an algorithm of RLlib is told nothing else, agents of a multi-agent environment share one module, and
    observations that its default networks do not take are flattened. Raises UsageError for an unknown environment, or
    one whose package is missing.
    """
    if isinstance(config, TeamAlgorithmConfig):
        if is_gymnasium_id(name) and not _global_registry.contains(ENV_CREATOR, name):
            algorithm = config.algo_class.__name__ if config.algo_class else type(config).__name__
            raise UsageError(
                f"{name} is a single-agent environment of gymnasium; {algorithm} trains teams on a MultiAgentEnv: "
                f"one of ours ({', '.join(registry.environment_names()[:2])}, ...), module:Class or pettingzoo:module."
            )
        config.environment(env=name)
        return None
    if is_gymnasium_id(name):
        config.environment(env=name)
    elif ":" in name:
        config.environment(env=_registered(name))
    elif name in registry.environment_names() or _global_registry.contains(ENV_CREATOR, name):
        config.environment(env=name)
    elif name.startswith(tuple(registry.FAMILIES)):
        config.environment(env=_registered(name))
    else:
        known = {*registry.environment_names(), *gym.registry}
        raise UsageError(
            f"unknown environment {name!r}.{did_you_mean(name, known)} Ours: "
            f"{', '.join(registry.environment_names())}; others are a gymnasium id, module:Class or pettingzoo:module."
        )
    return _fit_to_defaults(config, name)


def report_episode_metrics(config: AlgorithmConfig) -> None:
    """Makes an algorithm of RLlib report what a multi-agent environment gives as `episode_metrics`, as ours do."""
    if isinstance(config, TeamAlgorithmConfig) or not config.is_multi_agent:
        return
    given = config.callbacks_class
    given = list(given) if isinstance(given, list | tuple) else [given]
    # RLlib's old API stack calls its callbacks with other arguments.
    if config.enable_env_runner_and_connector_v2 and EpisodeMetricsCallback not in given:
        config.callbacks([*given, EpisodeMetricsCallback])


def make_user_environment(config: AlgorithmConfig, env_config: dict[str, Any]) -> Any:
    """Makes the environment of `config` as RLlib would, with `env_config`; without teams around it.

    Raises what the environment raises, and ValueError where it is unknown.
    """
    context = EnvContext(env_config, worker_index=0)
    specifier = user_environment(config)
    if isinstance(config, TeamAlgorithmConfig):
        return registry.make_environment(specifier, context)
    if isinstance(specifier, str) and specifier.startswith(_REGISTERED_PREFIX):
        return registry.make_environment(specifier.removeprefix(_REGISTERED_PREFIX), context)
    _, creator = Algorithm._get_env_id_and_creator(specifier, config)
    return creator(context)


def user_environment(config: AlgorithmConfig) -> Any:
    """The environment specifier as the user gave it."""
    return getattr(config, "user_env", config.env)


def user_env_config(config: AlgorithmConfig) -> dict[str, Any]:
    """The settings of the environment as the user gave them."""
    return dict(getattr(config, "user_env_config", config.env_config))


def environment_name(config: AlgorithmConfig) -> str:
    """The environment's name for people."""
    specifier = user_environment(config)
    if isinstance(specifier, str):
        return specifier.removeprefix(_REGISTERED_PREFIX)
    return getattr(specifier, "__name__", "its data" if specifier is None else type(specifier).__name__)


def _registered(name: str) -> str:
    register_env(_REGISTERED_PREFIX + name, partial(registry.make_environment, name))
    return _REGISTERED_PREFIX + name


def is_gymnasium_id(name: str) -> bool:
    """Says whether gymnasium has an environment `name`."""
    try:
        gym.spec(name)
    except (gym.error.Error, ImportError, ValueError):
        return False
    return True


def _fit_to_defaults(config: AlgorithmConfig, name: str) -> str | None:
    """One module for all agents and flat observations, where needed and nothing else is set."""
    try:
        environment = make_user_environment(config, dict(config.env_config))
    except Exception as error:
        raise UsageError(
            f"the environment {name} cannot be made: {type(error).__name__}: {one_line(str(error))}"
        ) from error
    try:
        several = isinstance(environment, MultiAgentEnv)
        flatten = not all(map(_is_taken_by_default_networks, _observation_spaces(environment)))
    finally:
        environment.close()
    notes = []
    if several and not config.is_multi_agent:
        config.multi_agent(policies={SHARED_MODULE}, policy_mapping_fn=_shared_module)
        notes.append(
            f"The agents of {name} share one module, {SHARED_MODULE}; a file with `config` can map them otherwise."
        )
    if flatten and config.enable_env_runner_and_connector_v2 and config._env_to_module_connector is None:
        config.env_runners(env_to_module_connector=_flatten_agents if several else _flatten)
        notes.append("Observations are flattened for the networks (RLlib's FlattenObservations).")
    return "\n".join(notes) or None


def _observation_spaces(environment: Any) -> list[gym.Space]:
    if isinstance(environment, MultiAgentEnv):
        return [environment.get_observation_space(agent) for agent in environment.possible_agents]
    return [environment.observation_space]


def _is_taken_by_default_networks(space: gym.Space) -> bool:
    """Whether it is a vector or an image."""
    return isinstance(space, gym.spaces.Box) and len(space.shape) in (1, 3)


def _flatten(env: Any, spaces: Any, device: Any) -> ConnectorV2:
    return FlattenObservations()


def _flatten_agents(env: Any, spaces: Any, device: Any) -> ConnectorV2:
    return FlattenObservations(multi_agent=True)


def _shared_module(agent_id: Any, episode: Any = None, **kwargs: Any) -> str:
    return SHARED_MODULE
