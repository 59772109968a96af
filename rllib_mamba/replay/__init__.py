"""Replay of team sequences."""

from rllib_mamba.replay.team_replay_buffer import TeamReplayBuffer

__all__ = ["TeamReplayBuffer"]
