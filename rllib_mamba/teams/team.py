"""One team at the current step: what its members see, receive and may do, as fixed-size arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from rllib_mamba.teams import columns
from rllib_mamba.teams.errors import EnvironmentDataError
from rllib_mamba.teams.spaces import AgentID, AgentSpaces


@dataclass(frozen=True)
class OptionalColumns:
    """Which of the optional parts of a team observation an environment gives; `state_size` is None without a state."""

    action_mask: bool = False
    comm_mask: bool = False
    state_size: int | None = None


class Team:
    """The members of one team in fixed order, one row each.

    A step is: `begin_step`; any number of `end`, `end_all`; `settle`; any number of `reward`, `hear`, `see`,
    `read_masks`; then `observation`.
    N agents, O the largest observation, A the largest number of actions, P all agents of the environment.

    Args:
        name: the team's id, which is RLlib's agent id and module id.
        agents: the members' ids.
        spaces: the members' spaces, in the same order.
        positions: where the members stand among all possible agents of the environment.
        num_possible_agents: P.
        optional: the optional parts of the observation.
    """

    def __init__(
        self,
        name: str,
        agents: Sequence[AgentID],
        spaces: Sequence[AgentSpaces],
        positions: Sequence[int],
        num_possible_agents: int,
        optional: OptionalColumns,
    ) -> None:
        self.name = name
        self.agents = tuple(agents)
        self.spaces = tuple(spaces)
        self.optional = optional
        self.size = len(self.agents)
        self.num_actions = max(space.num_actions for space in self.spaces)
        self.observation_size = max(space.observation_size for space in self.spaces)
        self._positions = np.asarray(positions)
        self._num_possible_agents = num_possible_agents
        self._own_actions = np.array(
            [[action < space.num_actions for action in range(self.num_actions)] for space in self.spaces], np.int8
        )
        self.observation_space = self._make_observation_space()
        self.action_space = gym.spaces.MultiDiscrete([self.num_actions] * self.size)
        self.reset()

    def _make_observation_space(self) -> gym.spaces.Dict:
        parts: dict[str, gym.Space] = {
            columns.OBS: _real_box(self.size, self.observation_size),
            columns.ALIVE: gym.spaces.MultiBinary(self.size),
            columns.ENDED: gym.spaces.MultiBinary(self.size),
            columns.REWARDS: _real_box(self.size),
        }
        if self.optional.action_mask:
            parts[columns.ACTION_MASK] = gym.spaces.MultiBinary((self.size, self.num_actions))
        if self.optional.comm_mask:
            parts[columns.COMM_MASK] = gym.spaces.MultiBinary((self.size, self.size))
        if self.optional.state_size is not None:
            parts[columns.STATE] = _real_box(self.optional.state_size)
        return gym.spaces.Dict(parts)

    def reset(self) -> None:
        """Begins an episode: nobody has ended."""
        self.over = False
        self._ended = [False] * self.size
        self._truncated = [False] * self.size
        self.begin_step(0)

    def begin_step(self, step: int) -> None:
        """Clears what belongs to one step; new arrays, because RLlib keeps references to the old ones."""
        self._step = step
        # Members gone before this step: they were told of their end already.
        self._gone = [ended or cut for ended, cut in zip(self._ended, self._truncated, strict=True)]
        self._alive = [0] * self.size
        self._observations = np.zeros((self.size, self.observation_size), np.float32)
        self._rewards = [0.0] * self.size
        self._action_masks: dict[int, Any] = {}
        self._hearing = np.ones((self.size, self.size), np.int8) if self.optional.comm_mask else None
        self.infos: dict[AgentID, Any] = {}

    # ------------------------------------------------------------------ what the environment says

    def gone(self, row: int) -> bool:
        """Whether a member had ended in an earlier step."""
        return self._gone[row]

    def end(self, row: int, terminated: bool) -> None:
        """A member terminates, or else its time is up; only the first end counts, a termination before a time limit."""
        if self._gone[row]:
            return
        if terminated:
            self._ended[row], self._truncated[row] = True, False
        elif not self._ended[row]:
            self._truncated[row] = True

    def end_all(self, terminated: bool) -> None:
        """The episode is over for the members that have not ended by themselves."""
        for row in range(self.size):
            if not self._ended[row] and not self._truncated[row]:
                self.end(row, terminated)

    def settle(self) -> None:
        """Call once the ends of a step are known: the team is over when all of its members are."""
        self.over = all(ended or cut for ended, cut in zip(self._ended, self._truncated, strict=True))

    @property
    def terminated(self) -> bool:
        """Whether the team is over and no time limit had a part in it."""
        return self.over and not any(self._truncated)

    def reward(self, row: int, value: Any) -> float:
        """Records a member's reward and gives it as a float.

        Raises:
            EnvironmentDataError: not a finite number.
        """
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = float("nan")
        if not -np.inf < number < np.inf:
            raise self._error(row, "reward", value, "it must be a finite number")
        self._rewards[row] += number
        return number

    def see(self, row: int, observation: Any) -> None:
        """Records a member's observation, unless the member takes no further part.

        Raises:
            EnvironmentDataError: the observation does not fit the space, or the member had ended in an earlier step.
        """
        if self._gone[row]:
            raise self._error(row, "observation", observation, "it had ended in an earlier step")
        # The last observation of a member that has terminated is no state to act in. One that ran out of time is, but
        # while the others go on the member does not act on it.
        if self._ended[row] or (self._truncated[row] and not self.over):
            return
        spaces = self.spaces[row]
        try:
            self._observations[row, : spaces.observation_size] = spaces.flatten(observation)
        except (TypeError, ValueError) as error:
            raise self._error(row, "observation", observation, str(error)) from error
        self._alive[row] = 1
        if spaces.mask_keys:
            self.read_masks(row, observation)

    def read_masks(self, row: int, source: Mapping[str, Any]) -> None:
        """Records the masks among the items of a member's info or dict observation.

        Raises:
            EnvironmentDataError: an action mask where there was none at the first reset, or the wrong shape.
        """
        if columns.ACTION_MASK in source:
            if not self.optional.action_mask:
                raise self._error(
                    row,
                    "action_mask",
                    source[columns.ACTION_MASK],
                    "there was none at the first reset: give a mask at resets as well",
                )
            self._action_masks[row] = source[columns.ACTION_MASK]
        if columns.COMM_MASK in source:
            mask = np.asarray(source[columns.COMM_MASK])
            if mask.shape != (self._num_possible_agents,):
                expected = f"expected is the shape ({self._num_possible_agents},), one entry for each possible agent"
                raise self._error(row, "comm_mask", mask, expected)
            self._announced_hearing()[row] = mask[self._positions] != 0

    def hear(self, matrix: Any) -> None:
        """Records who may hear whom, (P, P) over all possible agents.

        Raises:
            EnvironmentDataError: the wrong shape.
        """
        matrix = np.asarray(matrix)
        expected = (self._num_possible_agents, self._num_possible_agents)
        if matrix.shape != expected:
            raise EnvironmentDataError(
                f"The comm_mask of step {self._step} has the shape {matrix.shape}; expected is {expected}, rows and "
                "columns in the order of the possible agents."
            )
        self._announced_hearing()[:] = matrix[self._positions[:, None], self._positions] != 0

    def _announced_hearing(self) -> np.ndarray:
        if self._hearing is None:
            raise EnvironmentDataError(
                f"Step {self._step} has a comm_mask, but there was none at the first reset: give one at resets as well."
            )
        return self._hearing

    # ------------------------------------------------------------------ what RLlib gets

    @property
    def total_reward(self) -> float:
        """The sum of the members' rewards of this step."""
        return sum(self._rewards)

    @property
    def acting(self) -> list[int]:
        """The rows of the members that act on the current observation."""
        return [row for row, alive in enumerate(self._alive) if alive]

    def observation(self, state: np.ndarray | None) -> dict[str, np.ndarray]:
        """The team's observation of this step (see `columns`).

        Raises:
            EnvironmentDataError: a NaN or infinite observation, or a living member without a legal action.
        """
        if not np.isfinite(self._observations).all():
            row, index = np.argwhere(~np.isfinite(self._observations))[0]
            value = self._observations[row, index]
            raise self._error(int(row), "observation", value, f"at index {index}; every number must be finite")
        alive = np.array(self._alive, np.int8)
        result: dict[str, np.ndarray] = {
            columns.OBS: self._observations,
            columns.ALIVE: alive,
            columns.ENDED: np.array(self._ended, np.int8),
            columns.REWARDS: np.array(self._rewards, np.float32),
        }
        if self.optional.action_mask:
            result[columns.ACTION_MASK] = self._action_mask(alive)
        if self._hearing is not None:
            np.fill_diagonal(self._hearing, 1)
            result[columns.COMM_MASK] = self._hearing
        if state is not None:
            result[columns.STATE] = state
        return result

    def _action_mask(self, alive: np.ndarray) -> np.ndarray:
        mask = self._own_actions.copy()
        given = {row: np.asarray(self._action_masks[row]) for row in sorted(self._action_masks) if self._alive[row]}
        for row, actions in given.items():
            expected = (self.spaces[row].num_actions,)
            if actions.shape != expected:
                raise self._error(row, "action_mask", actions, f"expected is the shape {expected}")
        if given:
            told = np.zeros((self.size, 1), bool)
            told[list(given)] = True
            mask[told & (self._own_actions != 0)] = np.concatenate(list(given.values())) != 0
        mask[alive == 0] = 1
        if not mask.any(axis=1).all() and not self.over:
            row = int(np.argmin(mask.any(axis=1)))
            raise self._error(row, "action_mask", mask[row].tolist(), "an agent that acts needs a legal action")
        return mask

    def _error(self, row: int, what: str, value: Any, problem: str) -> EnvironmentDataError:
        return EnvironmentDataError(f"Agent {self.agents[row]!r}, step {self._step}: {what} {value!r}: {problem}.")


def _real_box(*shape: int) -> gym.spaces.Box:
    return gym.spaces.Box(-np.inf, np.inf, shape, np.float32)
