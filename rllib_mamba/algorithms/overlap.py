"""Env runners that act while the learners learn."""

from __future__ import annotations

import logging
from typing import Any

from ray.rllib.env.env_runner_group import EnvRunnerGroup
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode

_TAG = "overlapped_sample"

logger = logging.getLogger(__name__)


class OverlappedSampling:
    """One call of every remote env runner at a time, begun before updates and answered after them.

    What an env runner has not answered in time is left out, as RLlib does with its synchronous calls; such an env
    runner takes part again as soon as it has answered.

    Args:
        env_runners: An algorithm's env runners, of which those in processes of their own are called.
    """

    def __init__(self, env_runners: EnvRunnerGroup) -> None:
        self._env_runners = env_runners
        self._calls = 0

    def begin(self) -> None:
        """Lets all env runners sample that are healthy and not busy; returns at once."""
        # Answers that came too late would count as a call under way, and their env runners be left out.
        self._answers(timeout_seconds=0.0)
        self._calls += 1
        self._env_runners.foreach_env_runner_async(_sample, tag=_TAG, kwargs={"call": self._calls})

    def finish(self, timeout_seconds: float | None) -> tuple[list[MultiAgentEpisode], list[Any]]:
        """Waits for what `begin` started.

        Args:
            timeout_seconds: The longest to wait; None for no limit.

        Returns:
            The episodes of all env runners that answered, and the metrics of each.
        """
        answers = [answer for answer in self._answers(timeout_seconds) if answer[0] == self._calls]
        if not answers:
            logger.warning(
                "No env runner has sampled anything within sample_timeout_s=%s. If environment or module are slow, "
                "raise it or lower rollout_fragment_length.",
                timeout_seconds,
            )
        return [episode for _, episodes, _ in answers for episode in episodes], [metrics for *_, metrics in answers]

    def _answers(self, timeout_seconds: float | None) -> list[tuple[int, list[MultiAgentEpisode], Any]]:
        answers = self._env_runners.fetch_ready_async_reqs(tags=_TAG, timeout_seconds=timeout_seconds)
        return [answer for _, answer in answers]


def check_overlap(config: Any) -> None:
    """Makes sure that there is something to overlap.

    Args:
        config: Of an algorithm that has the option `overlap_acting`.

    Raises:
        ValueError: It is on without env runners in processes of their own.
    """
    # RLlib checks a configuration for evaluation, too, whose env runners are others.
    if config.overlap_acting and config.num_env_runners == 0 and not config.in_evaluation:
        raise ValueError(
            "overlap_acting=True needs env runners in processes of their own, but num_env_runners=0: acting would take "
            "turns with the updates anyway. Set `.env_runners(num_env_runners=1)` or more, or overlap_acting=False."
        )


def _sample(env_runner: Any, call: int) -> tuple[int, list[MultiAgentEpisode], Any]:
    return call, env_runner.sample(), env_runner.get_metrics()
