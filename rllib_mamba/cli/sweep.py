"""Schedulers and search algorithms of Ray Tune by name, with defaults that fit the experiment."""

import importlib.util
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.tune import TuneError
from ray.tune.schedulers import SCHEDULER_IMPORT, TrialScheduler, create_scheduler
from ray.tune.search import SEARCH_ALG_IMPORT, BasicVariantGenerator, create_searcher

from rllib_mamba.cli.errors import UsageError, did_you_mean, one_line
from rllib_mamba.cli.options import TrainOptions
from rllib_mamba.cli.progress import EPISODE_METRICS, ITERATION, RETURN, counters
from rllib_mamba.cli.search_space import as_mutations, check_values, grid_size, read_search_space
from rllib_mamba.cli.settings import nested_settings, parse_json
from rllib_mamba.tuning import PopulationBasedTraining, WaitForMetric

POPULATION = "pbt"
RANDOM_SEARCH = ("random", "variant_generator")

_ALIASES = {"asha": "async_hyperband", "median": "median_stopping_rule", "population": POPULATION}

#: What a search algorithm needs: the module that tells whether it is there, and how it is installed.
_PACKAGES = {
    "ax": ("ax", "ax-platform sqlalchemy"),
    "bayesopt": ("bayes_opt", "bayesian-optimization==1.4.3"),
    "bohb": ("hpbandster", "hpbandster ConfigSpace"),
    "hebo": ("hebo", "HEBO"),
    "hyperopt": ("hyperopt", "hyperopt"),
    "nevergrad": ("nevergrad", "nevergrad"),
    "optuna": ("optuna", '"rllib-mamba[tune]"'),
    "zoopt": ("zoopt", "zoopt"),
}

_SEEDS = ("seed", "random_state_seed", "random_state")

#: Iterations between two decisions where nothing says how long trials are.
_DEFAULT_INTERVAL = 10


@dataclass
class Sweep:
    """What is searched, and by what trials are compared.

    `space` holds searched settings, nested as the configuration is.
    """

    space: dict[str, Any] = field(default_factory=dict)
    metric: str = RETURN
    mode: str = "max"

    def num_trials(self, num_samples: int) -> int:
        """Trials in all: every point of the grids, `num_samples` times."""
        return num_samples * grid_size(self.space)


def metric_of(options: TrainOptions, metric: str | None, mode: str | None) -> tuple[str, str]:
    """Returns by what trials are compared: what the options say, then `metric` and `mode` of a file, then the return.

    Raises UsageError for a mode that is neither max nor min.
    """
    chosen = options.mode or mode or "max"
    if chosen not in ("max", "min"):
        raise UsageError(f"--mode: {chosen!r} is neither max nor min.")
    return options.metric or metric or RETURN, chosen


def check_metric(metric: str, config: AlgorithmConfig) -> None:
    """Raises UsageError for a metric of evaluations where there are none."""
    if metric.startswith("evaluation/") and not config.evaluation_interval:
        raise UsageError(f"--metric: {metric} comes from evaluations; set --evaluation-interval as well.")


def comes_later(metric: str) -> bool:
    """Says whether a metric may be missing from first results: it comes with an episode's end or an evaluation."""
    return metric.startswith((RETURN, EPISODE_METRICS, "env_runners/", "evaluation/"))


# ---------------------------------------------------------------------- schedulers


def make_scheduler(
    name: str,
    arguments: Mapping[str, Any],
    sweep: Sweep,
    config: AlgorithmConfig,
    stop: Mapping[str, float],
) -> TrialScheduler:
    """Returns Tune's scheduler called `name` for trials that end at `stop`, without its metric, which Tune gives it.

    Raises UsageError for what is unknown, wrong or not installed, and for hyperparameters that `config` refuses.
    """
    key = _ALIASES.get(name.lower(), name.lower())
    known = {*SCHEDULER_IMPORT, *_ALIASES}
    if key not in SCHEDULER_IMPORT:
        raise UsageError(
            f"--scheduler: {name!r} is none of Tune's ({', '.join(sorted(known))}).{did_you_mean(name, known)}"
        )
    given = dict(arguments)
    try:
        kind = _scheduler_class(key)
        _check_arguments(kind, given, f"--scheduler-config: {name}")
        accepted = inspect.signature(kind).parameters
        defaults = {option: value for option, value in _timing(given, stop).items() if option in accepted}
        given = defaults | given
        if key == POPULATION:
            given["hyperparam_mutations"] = _mutations(given.get("hyperparam_mutations"), sweep, config)
            return PopulationBasedTraining(**given)
        return create_scheduler(key, **given)
    except ImportError as error:
        package = error.name or one_line(str(error))
        raise UsageError(
            f"--scheduler {name} needs {package}, which is not installed: pip install {package}"
        ) from error
    except (ValueError, TypeError, AssertionError, TuneError) as error:
        raise UsageError(f"--scheduler {name}: {one_line(str(error)) or type(error).__name__}") from error


def scheduler_note(scheduler: TrialScheduler, arguments: Mapping[str, Any], stop: Mapping[str, float]) -> str | None:
    """Returns a line where a scheduler ends trials at a time that nobody has given."""
    parameters = inspect.signature(type(scheduler)).parameters
    if "max_t" not in parameters or "max_t" in arguments or counters(stop):
        return None
    return (
        f"The scheduler ends trials at {ITERATION} {parameters['max_t'].default}, its max_t; give --stop-iters or "
        "--stop-timesteps, or set max_t with --scheduler-config."
    )


def _scheduler_class(key: str) -> Any:
    found = SCHEDULER_IMPORT[key]
    return found() if inspect.isfunction(found) else found


def _timing(given: Mapping[str, Any], stop: Mapping[str, float]) -> dict[str, Any]:
    """How long trials are, from when on they may be stopped, and how often a population is perturbed."""
    budgets = counters(stop)
    time_attr = given.get("time_attr") or next(iter(budgets), ITERATION)
    budget = given.get("max_t") or budgets.get(time_attr)
    timing: dict[str, Any] = {"time_attr": time_attr}
    if budget is None:
        return timing | {"perturbation_interval": _DEFAULT_INTERVAL}
    return timing | {
        "max_t": budget,
        "grace_period": max(1, budget // 16),
        "perturbation_interval": max(1, budget // 8),
    }


def _mutations(given: Any, sweep: Sweep, config: AlgorithmConfig) -> dict[str, Any]:
    option = "--scheduler-config: hyperparam_mutations"
    if given is None:
        mutations = as_mutations(sweep.space)
    else:
        if not isinstance(given, Mapping):
            raise UsageError(f"{option}: expected an object with settings, got {given!r}.")
        mutations = read_search_space(nested_settings(given), option)
    if not mutations:
        raise UsageError(
            "--scheduler pbt needs to know what to perturb: search settings with --config (lr=loguniform:1e-5,1e-3) or "
            'give --scheduler-config \'{"hyperparam_mutations": {"lr": "loguniform:1e-5,1e-3"}}\'.'
        )
    check_values(config, mutations, option)
    return mutations


def _check_arguments(kind: Callable[..., Any], given: Mapping[str, Any], option: str) -> None:
    known = set(inspect.signature(kind).parameters)
    for name in given:
        if name not in known:
            raise UsageError(f"{option} has no argument {name!r}.{did_you_mean(name, known)}")


# ---------------------------------------------------------------------- search algorithms


def make_search(name: str, arguments: Mapping[str, Any], sweep: Sweep, seed: int | None) -> Any:
    """Returns Tune's search algorithm called `name` for the sweep.

    Raises UsageError for what is unknown, wrong or not installed, and for a space that it cannot search.
    """
    key = name.lower()
    if key not in SEARCH_ALG_IMPORT:
        known = ", ".join(SEARCH_ALG_IMPORT)
        raise UsageError(f"--search: {name!r} is none of Tune's ({known}).{did_you_mean(name, SEARCH_ALG_IMPORT)}")
    if key in _PACKAGES:
        module, package = _PACKAGES[key]
        if importlib.util.find_spec(module) is None:
            raise UsageError(f"--search {name} needs a package that is not installed: pip install {package}")
    if not sweep.space:
        raise UsageError(f"--search {name} has nothing to search: give --config lr=loguniform:1e-5,1e-3 or the like.")
    if key not in RANDOM_SEARCH and grid_size(sweep.space) > 1:
        raise UsageError(f"--search {name} cannot go through a grid: write choice: in place of grid:.")
    try:
        kind = SEARCH_ALG_IMPORT[key]()
        _check_arguments(kind, arguments, f"--search-config: {name}")
        accepted = inspect.signature(kind).parameters
        seeds = {} if seed is None else {option: seed for option in _SEEDS if option in accepted}
        searcher = create_searcher(key, **(seeds | dict(arguments)))
    except (ValueError, TypeError, AssertionError, ImportError) as error:
        raise UsageError(f"--search {name}: {one_line(str(error)) or type(error).__name__}") from error
    return (
        searcher if isinstance(searcher, BasicVariantGenerator) else WaitForMetric(searcher, sweep.metric, sweep.mode)
    )


def check_together(scheduler: str | None, search: str | None, trials: int) -> None:
    """Raises UsageError where a scheduler does not go with the search algorithm or with the number of trials."""
    key = _ALIASES.get((scheduler or "").lower(), (scheduler or "").lower())
    population = key in (POPULATION, "pb2")
    if population and search and search.lower() not in RANDOM_SEARCH:
        raise UsageError(f"--search {search} does not go with --scheduler {scheduler}, which chooses values itself.")
    if population and trials < 2:
        raise UsageError(f"--scheduler {scheduler} needs a population: give --num-samples of at least 2.")


def parse_arguments(text: str | None, option: str, owner: str | None, owner_option: str) -> dict[str, Any]:
    """Returns the JSON object given to `option`, which needs `owner_option` beside it."""
    if text is None:
        return {}
    if not owner:
        raise UsageError(f"{option} needs {owner_option}.")
    return parse_json(text, option)
