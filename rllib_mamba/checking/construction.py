"""Checks of an environment as it stands, before anything is played."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import gymnasium as gym
from ray import cloudpickle
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from rllib_mamba import registry
from rllib_mamba.checking.evidence import Evidence
from rllib_mamba.checking.findings import Concerns, Finding, error, named, note, shown
from rllib_mamba.checking.places import innermost_file, raised_at
from rllib_mamba.registry import EnvSpecifier
from rllib_mamba.teams import possible_agents

_logger = logging.getLogger(__name__)

_CONSTRUCTOR = "def __init__(self, config=None)"


def constructor_works(make: Callable[[], Any]) -> tuple[Any, list[Finding]]:
    """An environment, or what is wrong with its constructor."""
    try:
        return make(), []
    except Exception as failure:
        _logger.debug("the constructor failed", exc_info=True)
        # Python raises it where it is called, not inside of it.
        takes_no_config = isinstance(failure, TypeError) and innermost_file(failure) == registry.__file__
        remedy = (
            f"declare `{_CONSTRUCTOR}`: RLlib gives one argument, the `env_config` as a dictionary (an EnvContext)."
            if takes_no_config
            else "as it says."
        )
        seen = f"the environment cannot be made: {type(failure).__name__}: {failure}{raised_at(failure)}"
        return None, [error(seen, "a constructor that takes the `env_config`.", remedy)]


def environment_is_multi_agent(env: Any) -> Iterator[Finding]:
    """Whether RLlib takes it for a multi-agent environment whose agents are named."""
    if isinstance(env, gym.Env) and not isinstance(env, MultiAgentEnv):
        yield error(
            f"{type(env).__name__} is a single-agent environment of gymnasium.",
            "a subclass of `ray.rllib.env.multi_agent_env.MultiAgentEnv`.",
            "train on it with PPO and the like as it is, or wrap it with RLlib's `make_multi_agent`.",
        )
        return
    try:
        possible_agents(env)
    except (TypeError, ValueError) as failure:
        yield error(str(failure), "a MultiAgentEnv that names all its agents.", "as said above.")


def base_class_is_initialised(evidence: Evidence) -> Iterator[Finding]:
    """Whether the constructor of RLlib's base class has run."""
    if not hasattr(evidence.env, "_agent_ids"):
        yield error(
            "the constructor of MultiAgentEnv has not run.",
            "attributes that RLlib's base class sets.",
            "call `super().__init__()` in the constructor.",
        )


def reset_takes_a_seed(evidence: Evidence) -> Iterator[Finding]:
    """Whether `reset` takes the arguments that RLlib gives it."""
    signature = inspect.signature(evidence.env.reset)
    try:
        signature.bind(seed=None, options=None)
    except TypeError:
        yield error(
            f"the signature is reset{signature}.",
            "RLlib calls reset(seed=..., options=...).",
            "declare `def reset(self, *, seed=None, options=None)`.",
        )


def can_be_sent(specifier: EnvSpecifier, env_config: dict[str, Any]) -> Iterator[Finding]:
    """Whether other processes can make the environment."""
    try:
        cloudpickle.loads(cloudpickle.dumps((specifier, env_config)))
    except Exception as failure:
        yield error(
            f"what makes the environment cannot be pickled: {type(failure).__name__}: {failure}",
            "env runners make their environments in processes of their own, from the class or function and the "
            "`env_config`.",
            "open files, games and connections in the environment's constructor, not outside of it.",
        )


def spaces_are_supported(evidence: Evidence) -> Iterator[Finding]:
    """Whether a team can have these agents."""
    reasons = evidence.unsupported
    alike: dict[str, list[Hashable]] = {}
    for agent, reason in reasons.items():
        alike.setdefault(reason.replace(repr(agent), "..."), []).append(agent)
    for agents in alike.values():
        without = any(agent in evidence.without_spaces for agent in agents)
        others = f" So it is with {named(agents[1:])}." if len(agents) > 1 else ""
        yield error(
            reasons[agents[0]] + others,
            "for every agent a Discrete action space and an observation space of Box, Discrete, MultiBinary, "
            "MultiDiscrete, or Dict and Tuple of these.",
            "define `self.observation_spaces` and `self.action_spaces`, dictionaries by agent id, in the constructor."
            if without
            else "flatten or discretise it in the environment; PPO knows continuous actions.",
            Concerns.ALL if without else Concerns.TEAMS,
        )


def spaces_are_given_by_agent(evidence: Evidence) -> Iterator[Finding]:
    """Whether spaces are where RLlib's new API stack looks for them."""
    for name in ("observation_space", "action_space"):
        old = getattr(evidence.env, name)
        by_agent = isinstance(old, gym.spaces.Dict) and set(evidence.agents) <= set(old.spaces)
        if getattr(evidence.env, f"{name}s") is None and old is not None and not by_agent:
            yield error(
                f"there is one `{name}`, {shown(old)}, and no `{name}s`.",
                f"`{name}s`, a dictionary with the space of each agent; one for all is RLlib's old API stack.",
                f"set `self.{name}s = {{agent: ... for agent in self.possible_agents}}`.",
                Concerns.RLLIB,
            )


def spaces_are_equal(evidence: Evidence) -> Iterator[Finding]:
    """Whether all agents could share a module of RLlib's."""
    for what, spaces in (("observation", evidence.observation_spaces), ("action", evidence.action_spaces)):
        kinds: list[Any] = []
        for space in spaces.values():
            if space is not None and not any(space == kind for kind in kinds):
                kinds.append(space)
        if len(kinds) > 1:
            yield note(
                f"there are {len(kinds)} different {what} spaces, such as {shown(kinds[0])} and {shown(kinds[1])}.",
                "MAMBA pads smaller ones and masks actions that an agent does not have; a module of RLlib's own "
                "algorithms has one space.",
                "for those, map agents with different spaces to modules of their own (`policy_mapping_fn`).",
                Concerns.RLLIB,
            )


def observations_are_plain(evidence: Evidence) -> Iterator[Finding]:
    """Whether RLlib's default modules read the observations."""
    nested = [agent for agent, space in evidence.observation_spaces.items() if not isinstance(space, gym.spaces.Box)]
    if nested:
        yield note(
            f"the observation space of {named(nested)} is a {type(evidence.observation_spaces[nested[0]]).__name__}.",
            "MAMBA flattens it; the default modules of RLlib's own algorithms take a Box only.",
            "for those, add RLlib's connector FlattenObservations, or give a Box, with masks in the infos.",
            Concerns.RLLIB,
        )
