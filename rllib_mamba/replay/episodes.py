"""From chunks of RLlib episodes to replay rows."""

from collections.abc import Collection
from typing import Any

import numpy as np
from gymnasium.spaces import MultiDiscrete
from ray.rllib.env.single_agent_episode import SingleAgentEpisode

from rllib_mamba.replay.layout import (
    ACTION,
    ACTION_MASK,
    ALIVE,
    COMM_MASK,
    LAST,
    OBSERVATION,
    REWARD,
    STATE,
    TERMINATED,
    TRUNCATED,
    Rows,
)
from rllib_mamba.teams import columns

#: Columns that not every environment has: how the replay and how a team's observation names them, and their type.
_OPTIONAL_COLUMNS: dict[str, tuple[str, type]] = {
    ACTION_MASK: (columns.ACTION_MASK, bool),
    COMM_MASK: (columns.COMM_MASK, bool),
    STATE: (columns.STATE, np.float32),
}


def chunk_to_rows(chunk: SingleAgentEpisode, optional: Collection[str] = (ACTION_MASK, COMM_MASK)) -> Rows:
    """The L steps of a chunk of a team's episode as rows, each column (L, ...).

    Row t pairs what was observed and done at t with what came of it, which the observation at t + 1 holds. Lookback is
    left out: those steps are another chunk's.

    Args:
        chunk: the team's part of what an env runner returned.
        optional: the columns to take where the environment gives them.

    Raises:
        ValueError: the observations are not those of a team.
    """
    observations = _stacked(chunk.get_observations())
    missing = [key for key in (columns.OBS, columns.ALIVE, columns.ENDED, columns.REWARDS) if key not in observations]
    if missing:
        raise ValueError(
            f"The episode's observations lack {missing}: the replay buffer takes episodes of a TeamEnv, whose "
            f"observations describe a whole team; got the keys {sorted(observations)}."
        )
    length = len(chunk)
    rows = {
        OBSERVATION: observations[columns.OBS][:-1],
        ACTION: np.asarray(chunk.get_actions()),
        REWARD: observations[columns.REWARDS][1:],
        TERMINATED: observations[columns.ENDED][1:].astype(bool),
        ALIVE: observations[columns.ALIVE][:-1].astype(bool),
        LAST: np.zeros(length, bool),
        TRUNCATED: np.zeros(length, bool),
    }
    for name in optional:
        key, dtype = _OPTIONAL_COLUMNS[name]
        if key in observations:
            rows[name] = observations[key][:-1].astype(dtype)
    if chunk.is_done:
        rows[LAST][-1] = True
        # An environment may end an episode for all without saying so of every agent.
        rows[TERMINATED][-1] |= chunk.is_terminated
        rows[TRUNCATED][-1] = not chunk.is_terminated
    return rows


def with_final_row(rows: Rows, chunk: SingleAgentEpisode) -> Rows:
    """Rows of an episode's last chunk, followed by one for the observation that the episode ended with.

    It has action 0 and reward 0, and of the columns of `rows` what the observation holds. `last` and `truncated` stay
    at the step before it.
    """
    observation = _stacked(chunk.get_observations([-1]))
    final = {name: np.zeros((1, *column.shape[1:]), column.dtype) for name, column in rows.items()}
    final[OBSERVATION] = observation[columns.OBS]
    final[ALIVE] = observation[columns.ALIVE].astype(bool)
    final[TERMINATED] = rows[TERMINATED][-1:]
    for name, (key, dtype) in _OPTIONAL_COLUMNS.items():
        if name in rows:
            final[name] = observation[key].astype(dtype)
    return {name: np.concatenate([column, final[name]]) for name, column in rows.items()}


def with_absorbing_rows(rows: Rows, count: int, num_actions: int, generator: np.random.Generator) -> Rows:
    """Rows of an ended episode followed by `count` rows in which nothing happens any more.

    They have zero observations and rewards, random actions, no agent alive, every action legal, and every agent hears
    only itself. `last` moves to the final one.
    """
    if count == 0:
        return rows
    absorbing = {name: np.zeros((count, *column.shape[1:]), column.dtype) for name, column in rows.items()}
    absorbing[ACTION] = generator.integers(num_actions, size=absorbing[ACTION].shape)
    absorbing[TERMINATED][:] = True
    absorbing[LAST][-1] = True
    if ACTION_MASK in rows:
        absorbing[ACTION_MASK][:] = True
    if COMM_MASK in rows:
        absorbing[COMM_MASK][:] = np.eye(rows[COMM_MASK].shape[-1], dtype=bool)
    last = np.zeros_like(rows[LAST])
    return {name: np.concatenate([column, absorbing[name]]) for name, column in {**rows, LAST: last}.items()}


def num_actions_of(chunk: SingleAgentEpisode) -> int:
    """The largest number of actions an agent of the team has.

    Raises:
        ValueError: the episode's action space is not that of a team.
    """
    space = chunk.action_space
    if not isinstance(space, MultiDiscrete) or space.nvec.ndim != 1:
        raise ValueError(
            f"The episode's action space is {space}; expected a MultiDiscrete with one entry per agent, as that of a "
            "TeamEnv."
        )
    return int(space.nvec.max())


def _stacked(observations: Any) -> dict[str, np.ndarray]:
    if isinstance(observations, dict):
        return observations
    if not all(isinstance(observation, dict) for observation in observations):
        return {}
    return {key: np.stack([observation[key] for observation in observations]) for key in observations[0]}
