"""Whether a team has a reward to share: QMIX learns from one for the whole team."""

from __future__ import annotations

import logging

import numpy as np

from rllib_mamba.replay import TeamEpisodeReplayBuffer

logger = logging.getLogger(__name__)

_EPISODES = 8
#: Of the largest reward: less than this is rounding.
_ROUNDING = 1e-5


def check_rewards(buffer: TeamEpisodeReplayBuffer, team: str, team_reward: str) -> None:
    """Looks at the first episodes of a team, before anything is learned from them.

    Agents with different rewards are warned of: the team learns from their mean or sum.

    Raises:
        ValueError: The agents' rewards always cancel out, as those of opponents do: there is nothing to learn from.
    """
    reward = buffer.batch(range(min(_EPISODES, buffer.num_episodes)))["reward"]
    rounding = _ROUNDING * np.abs(reward).max()
    if np.ptp(reward, axis=-1).max() <= rounding:
        return
    if np.abs(reward.sum(axis=-1)).max() <= rounding:
        raise ValueError(
            f"The rewards of the agents of team {team!r} cancel out at every step, as those of opponents do; QMIX "
            "learns from one reward for the whole team. Put opponents into teams of their own: "
            "config.multi_agent(policies=..., policy_mapping_fn=...)."
        )
    logger.warning(
        "The agents of team %r get different rewards. QMIX learns from one reward for the whole team: the %s of theirs "
        "(team_reward=%r).",
        team,
        team_reward,
        team_reward,
    )
