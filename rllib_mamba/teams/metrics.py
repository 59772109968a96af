"""Callbacks that every algorithm with teams needs: what RLlib does not log itself, and what must not be stored."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode

AGENT_RETURNS = "agent_returns"
"""`env_runners/agent_returns/<agent id>`: mean return of each agent (RLlib's own entries are those of the teams)."""

EPISODE_METRICS = "episode_metrics"
"""`env_runners/episode_metrics/<name>`: mean over episodes of what the environment gives as an episode ends."""


class TeamMetricsCallback(RLlibCallback):
    """Logs every agent's return and the environment's own metrics, averaged over the episodes RLlib averages over."""

    def on_episode_end(self, *, env_runner: Any, metrics_logger: Any, env: Any, env_index: int, **kwargs: Any) -> None:
        returns = env.envs[env_index].unwrapped.agent_returns
        _log_means(env_runner, metrics_logger, AGENT_RETURNS, {str(agent): value for agent, value in returns.items()})
        _log_means(env_runner, metrics_logger, EPISODE_METRICS, episode_metrics(env, env_index))


class EpisodeMetricsCallback(RLlibCallback):
    """Logs the environment's own metrics for an algorithm without teams, under the same names."""

    def on_episode_end(self, *, env_runner: Any, metrics_logger: Any, env: Any, env_index: int, **kwargs: Any) -> None:
        _log_means(env_runner, metrics_logger, EPISODE_METRICS, episode_metrics(env, env_index))


class DropModelOutputsCallback(RLlibCallback):
    """Takes the module's outputs, recurrent states above all, out of the episodes that leave an env runner.

    The chunk in which an env runner goes on with an unfinished episode has its own copy of the last outputs.
    For algorithms that learn from observations, actions and rewards alone.
    """

    def on_sample_end(self, *, samples: Sequence[MultiAgentEpisode], **kwargs: Any) -> None:
        for episode in samples:
            for team_episode in episode.agent_episodes.values():
                team_episode.extra_model_outputs = {}


def episode_metrics(vector_env: Any, env_index: int) -> Mapping[str, float]:
    """What a sub-environment gave as `episode_metrics` at the last step of its episode.

    A `TeamEnv` remembers it. RLlib keeps what an environment's infos say of all agents out of its episodes, so that of
    other environments is read where they are.
    """
    remembered = getattr(vector_env.envs[env_index].unwrapped, "episode_metrics", None)
    if isinstance(remembered, Mapping):
        return remembered
    common = vector_env._infos[env_index].get("__common__") or {}
    return common.get("episode_metrics") or {}


def _log_means(env_runner: Any, metrics_logger: Any, group: str, values: Mapping[str, float]) -> None:
    # The window of RLlib's own episode metrics.
    episodes = env_runner.config.metrics_num_episodes_for_smoothing
    window = max(1, math.ceil(episodes / (env_runner.config.num_env_runners or 1)))
    for name, value in values.items():
        metrics_logger.log_value((group, name), value, reduce="mean", window=window)
