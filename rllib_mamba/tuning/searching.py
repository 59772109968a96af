"""Search algorithms of Tune that wait for a metric to appear."""

from __future__ import annotations

from typing import Any

from ray.tune.search import Searcher


class WaitForMetric(Searcher):
    """A search algorithm that is told of a trial's results once they have its metric.

    The mean return of episodes, or what an environment says at their end, is missing from results until an episode
    has ended; Optuna's and other searchers of Tune fail on the first result without it.

    Args:
        searcher: The search algorithm.
        metric: What it compares trials by, as in `tune.TuneConfig(metric=...)`.
        mode: "max" or "min".
    """

    def __init__(self, searcher: Searcher, metric: str, mode: str) -> None:
        super().__init__(metric=metric, mode=mode)
        # Not named `searcher`: what is, Tune saves without asking for it.
        self.wrapped = searcher

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """Hands the search space to the search algorithm."""
        return self.wrapped.set_search_properties(self.metric, self.mode, config, **spec)

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """The values of a new trial."""
        return self.wrapped.suggest(trial_id)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Passes on a result that has the metric."""
        if self.metric in result:
            self.wrapped.on_trial_result(trial_id, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Passes on that a trial has ended, without its result if the metric never appeared."""
        known = result if result is not None and self.metric in result else None
        self.wrapped.on_trial_complete(trial_id, result=known, error=error)

    def save(self, checkpoint_path: str) -> None:
        """Saves the state of the search algorithm."""
        self.wrapped.save(checkpoint_path)

    def restore(self, checkpoint_path: str) -> None:
        """Takes over what `save` saved."""
        self.wrapped.restore(checkpoint_path)
