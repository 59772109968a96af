"""Replay of team sequences and of whole episodes of teams."""

from rllib_mamba.replay.team_episode_replay_buffer import TeamEpisodeReplayBuffer
from rllib_mamba.replay.team_replay_buffer import TeamReplayBuffer

__all__ = ["TeamEpisodeReplayBuffer", "TeamReplayBuffer"]
