"""Env runners that know how many env steps there were, for exploration that follows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode


class CountEnvStepsCallback(RLlibCallback):
    """Counts env steps on within an iteration; at its end RLlib tells every env runner how many there were in all.

    Without it epsilon would stand still from one iteration to the next. The other env runners are taken to have made as
    many steps.
    """

    def on_sample_end(self, *, env_runner: Any, samples: Sequence[MultiAgentEpisode], **kwargs: Any) -> None:
        if not env_runner.config.in_evaluation:
            env_steps = sum(episode.env_steps() for episode in samples)
            env_runner.num_env_steps_sampled_lifetime += env_steps * (env_runner.config.num_env_runners or 1)
