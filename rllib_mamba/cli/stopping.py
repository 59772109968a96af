"""Stop criteria by metric name, as Tune understands them and as people read them."""

from collections.abc import Mapping
from typing import Any

from ray.tune.stopper import Stopper

from rllib_mamba.cli.options import TrainOptions
from rllib_mamba.cli.progress import ENV_STEPS, ITERATION, RETURN
from rllib_mamba.cli.settings import flatten, parse_json, parse_stop

SHORT_OPTIONS = {"stop_iters": ITERATION, "stop_timesteps": ENV_STEPS, "stop_reward": RETURN}


class MetricStopper(Stopper):
    """Stops a trial when any metric reaches its threshold; a metric that is not (yet) in a result does not count."""

    def __init__(self, criteria: Mapping[str, float]) -> None:
        self.criteria = dict(criteria)

    def __call__(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Says whether the trial should stop after `result`."""
        flat = flatten(result)
        return any(name in flat and flat[name] >= threshold for name, threshold in self.criteria.items())

    def stop_all(self) -> bool:
        """Never stops the other trials."""
        return False


def given_criteria(options: TrainOptions) -> dict[str, float]:
    """Returns the stop criteria of the command line; the short options win over `--stop`."""
    criteria = parse_stop(parse_json(options.stop, "--stop")) if options.stop else {}
    for option, metric in SHORT_OPTIONS.items():
        value = getattr(options, option)
        if value is not None:
            criteria[metric] = value
    return criteria


def describe(criteria: Mapping[str, float]) -> str:
    """Returns one sentence that says when training stops."""
    if not criteria:
        return "No stop criterion: training goes on until Ctrl-C (a checkpoint is written then)."
    return "Stops at " + " or ".join(f"{name} >= {value:,g}" for name, value in criteria.items()) + "."
