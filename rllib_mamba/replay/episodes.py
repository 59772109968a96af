"""From chunks of RLlib episodes to replay rows."""

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
    TERMINATED,
    TRUNCATED,
    Rows,
)
from rllib_mamba.teams import columns


def chunk_to_rows(chunk: SingleAgentEpisode) -> Rows:
    """The L steps of a chunk of a team's episode as rows, each column (L, ...).

    Row t pairs what was observed and done at t with what came of it, which the observation at t + 1 holds. Lookback is
    left out: those steps are another chunk's.

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
    for name, key in ((ACTION_MASK, columns.ACTION_MASK), (COMM_MASK, columns.COMM_MASK)):
        if key in observations:
            rows[name] = observations[key][:-1].astype(bool)
    if chunk.is_done:
        rows[LAST][-1] = True
        # An environment may end an episode for all without saying so of every agent.
        rows[TERMINATED][-1] |= chunk.is_terminated
        rows[TRUNCATED][-1] = not chunk.is_terminated
    return rows


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
