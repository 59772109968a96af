"""How the observations of a team's agents become its arrays: numpy only, and JSON for an export."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

AgentID = Hashable

_OBSERVATION_KEYS = ("observation", "observations", "obs")
_MASK_KEYS = ("action_mask", "comm_mask")


@dataclass(frozen=True)
class AgentLayout:
    """One agent: its id, its observation space as JSON, its number of actions and the first of them."""

    agent: AgentID
    observation_space: dict[str, Any]
    num_actions: int
    first_action: int = 0

    def flatten(self, observation: Any) -> np.ndarray:
        """The observation, masks left out, as a vector float32 as `TeamEnv` makes it.

        Raises:
            ValueError: The observation does not fit the agent's space.
        """
        try:
            vector = _flatten(self.observation_space, _without_masks(observation))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ValueError(f"The observation of agent {self.agent!r} does not fit its space: {error}.") from error
        if not np.isfinite(vector).all():
            raise ValueError(f"The observation of agent {self.agent!r} holds a NaN or infinite number.")
        return vector


@dataclass(frozen=True)
class TeamLayout:
    """A team: its agents in fixed order, its padded sizes and which masks its observations carry.

    Args:
        team: The team's name, which is its module's.
        agents: The members, in their fixed order.
        possible_agents: All agents of the environment, the order of a communication mask.
        observation_size: O, the padded size of an observation.
        num_actions: A, the padded number of actions.
        action_mask: Whether the team's observation has an action mask.
        comm_mask: Whether it has a communication mask.
    """

    team: str
    agents: tuple[AgentLayout, ...]
    possible_agents: tuple[AgentID, ...]
    observation_size: int
    num_actions: int
    action_mask: bool
    comm_mask: bool

    def rows(self, observations: Mapping[AgentID, Any], infos: Mapping[Any, Any]) -> dict[str, np.ndarray]:
        """The team's arrays for one step of one environment.

        Args:
            observations: The observation of every agent that acts.
            infos: The environment's infos, where masks may be.

        Returns:
            `obs` (N, O) and, where the team has them, `action_mask` (N, A) and `comm_mask` (N, N).

        Raises:
            ValueError: An unknown agent, an observation that does not fit, a mask of the wrong shape or with no legal
                action.
        """
        known = {layout.agent for layout in self.agents}
        unknown = [agent for agent in observations if agent not in known and agent not in self.possible_agents]
        if unknown:
            raise ValueError(f"Unknown agents {unknown}; team {self.team!r} has {[a.agent for a in self.agents]}.")
        size = len(self.agents)
        rows = {"obs": np.zeros((size, self.observation_size), np.float32)}
        if self.action_mask:
            rows["action_mask"] = np.ones((size, self.num_actions), np.int8)
            for row, layout in enumerate(self.agents):
                rows["action_mask"][row, layout.num_actions :] = 0
        for row, layout in enumerate(self.agents):
            if layout.agent not in observations:
                if self.action_mask:
                    rows["action_mask"][row] = 1
                continue
            vector = layout.flatten(observations[layout.agent])
            rows["obs"][row, : vector.size] = vector
            if self.action_mask:
                self._mask_actions(rows["action_mask"][row], layout, observations, infos)
        if self.comm_mask:
            rows["comm_mask"] = self._comm_mask(observations, infos)
        return rows

    def _mask_actions(
        self, row: np.ndarray, layout: AgentLayout, observations: Mapping[AgentID, Any], infos: Mapping[Any, Any]
    ) -> None:
        mask = _item("action_mask", layout.agent, observations, infos)
        if mask is None:
            return
        mask = np.asarray(mask)
        if mask.shape != (layout.num_actions,) or not mask.any():
            raise ValueError(
                f"The action mask {mask.tolist()} of agent {layout.agent!r} must name at least one legal action of "
                f"{layout.num_actions}."
            )
        row[: layout.num_actions] = mask != 0

    def _comm_mask(self, observations: Mapping[AgentID, Any], infos: Mapping[Any, Any]) -> np.ndarray:
        positions = [self.possible_agents.index(layout.agent) for layout in self.agents]
        mask = np.ones((len(positions), len(positions)), np.int8)
        whole = (infos.get("__common__") or {}).get("comm_mask")
        if whole is not None:
            mask[:] = np.asarray(whole)[np.ix_(positions, positions)] != 0
        for row, layout in enumerate(self.agents):
            own = _item("comm_mask", layout.agent, observations, infos)
            if own is not None:
                mask[row] = np.asarray(own)[positions] != 0
        np.fill_diagonal(mask, 1)
        return mask

    def to_json(self) -> dict[str, Any]:
        """The layout as JSON-able values.

        Raises:
            ValueError: An agent id is neither a string nor an integer.
        """
        odd = [agent for agent in self.possible_agents if not isinstance(agent, str | int)]
        if odd:
            raise ValueError(f"Only agents whose ids are strings or integers can be exported, not {odd}.")
        return {
            "team": self.team,
            "agents": [vars(layout) for layout in self.agents],
            "possible_agents": list(self.possible_agents),
            "observation_size": self.observation_size,
            "num_actions": self.num_actions,
            "action_mask": self.action_mask,
            "comm_mask": self.comm_mask,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> TeamLayout:
        """Reads what `to_json` gave."""
        return cls(
            **values
            | {
                "agents": tuple(AgentLayout(**agent) for agent in values["agents"]),
                "possible_agents": tuple(values["possible_agents"]),
            }
        )


def _item(key: str, agent: AgentID, observations: Mapping[AgentID, Any], infos: Mapping[Any, Any]) -> Any:
    observation = observations.get(agent)
    value = observation.get(key) if isinstance(observation, Mapping) else None
    given = (infos.get(agent) or {}).get(key)
    return given if given is not None else value


def _without_masks(observation: Any) -> Any:
    if not isinstance(observation, Mapping) or not any(key in observation for key in _MASK_KEYS):
        return observation
    rest = {key: value for key, value in observation.items() if key not in _MASK_KEYS}
    if len(rest) == 1 and next(iter(rest)) in _OBSERVATION_KEYS:
        return next(iter(rest.values()))
    return rest


def _flatten(space: dict[str, Any], observation: Any) -> np.ndarray:
    """Flattens as gymnasium's `flatten` does, from a space given as JSON."""
    kind = space["kind"]
    if kind in ("Box", "MultiBinary"):
        array = np.asarray(observation, np.float32)
        if array.shape != tuple(space["shape"]):
            raise ValueError(f"its shape is {array.shape}, expected {tuple(space['shape'])}")
        return array.reshape(-1)
    if kind == "Discrete":
        return _one_hot(int(observation) - space["start"], space["n"])
    if kind == "MultiDiscrete":
        values = np.asarray(observation).reshape(-1) - np.asarray(space["start"]).reshape(-1)
        return np.concatenate([_one_hot(int(v), n) for v, n in zip(values, space["nvec"], strict=True)])
    if kind == "Dict":
        return np.concatenate([_flatten(part, observation[key]) for key, part in space["spaces"]])
    return np.concatenate([_flatten(part, value) for part, value in zip(space["spaces"], observation, strict=True)])


def _one_hot(index: int, size: int) -> np.ndarray:
    if not 0 <= index < size:
        raise ValueError(f"the value {index} is outside 0..{size - 1}")
    vector = np.zeros(size, np.float32)
    vector[index] = 1.0
    return vector
