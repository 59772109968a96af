"""Which agents form a team: those that the user's policy mapping sends to the same module."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable

from rllib_mamba.teams.spaces import AgentID


def form_teams(
    possible_agents: Iterable[AgentID], policy_mapping_fn: Callable[..., str]
) -> dict[str, tuple[AgentID, ...]]:
    """Module id -> the agents mapped to it, teams and members in the order of `possible_agents`.

    The mapping is called once for each agent as RLlib calls it, with `(agent_id, episode)`, and with `worker=None`
    where it insists on one. Teams are formed before there is an episode, so `episode` is None.

    Raises:
        ValueError: the mapping fails without an episode, or gives something other than a module id.
    """
    extra = _extra_arguments(policy_mapping_fn)
    teams: dict[str, list[AgentID]] = {}
    for agent in possible_agents:
        try:
            module_id = policy_mapping_fn(agent, None, **extra)
        except Exception as error:
            raise ValueError(
                f"policy_mapping_fn failed for agent {agent!r} ({type(error).__name__}: {error}). Agents that share a "
                "module form a team, and teams are formed before the first episode: the function is called with the "
                "agent's id and episode=None, and must depend on the id alone."
            ) from error
        if not isinstance(module_id, str):
            raise ValueError(
                f"policy_mapping_fn gave {module_id!r} for agent {agent!r}; expected is a module id (a string)."
            )
        teams.setdefault(module_id, []).append(agent)
    return {module_id: tuple(members) for module_id, members in teams.items()}


def _extra_arguments(policy_mapping_fn: Callable[..., str]) -> dict[str, None]:
    try:
        signature = inspect.signature(policy_mapping_fn)
        signature.bind(None, None)
    except ValueError:
        # A builtin without a signature.
        return {}
    except TypeError:
        return {"worker": None}
    return {}
