"""The options of `rllib train`, each with its type and help in one place.

An option that was not given is None, so that a file or a default decides; the help names the default.
"""

import dataclasses
import inspect
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from typer import Option

EXPERIMENT = "Experiment"
SWEEP = "Sweeps"
RESULTS = "Results"
CHECKPOINTS = "Checkpoints"
SCALING = "Scaling"
LOGGERS = "Loggers"
CLUSTER = "Cluster"

DEFAULT_EXPERIMENT_NAME = "default"
DEFAULT_RESULTS_ROOT = "~/ray_results"
DEFAULT_CHECKPOINT_FREQUENCY = 10
DEFAULT_CHECKPOINTS_KEPT = 2
DEFAULT_CHECKED_EPISODES = 3
DEFAULT_CHECKED_STEPS = 1000


def _default(value: object) -> str:
    return f"(default: {value})"


_Verbose = Annotated[
    int, Option("--verbose", "-v", count=True, show_default=False, help="-v INFO, -vv DEBUG and tracebacks.")
]
_OtherEnvironment = Annotated[
    str | None, Option("--env", "-e", help="Another environment. " + _default("that of training"))
]
_OtherSettings = Annotated[
    list[str] | None,
    Option("--config", "-c", help="Other settings: JSON or key=value, repeatable (env_config.size=5)."),
]


@dataclass(kw_only=True)
class TrainOptions:
    """What was given on the command line of `rllib train` or `rllib train file`."""

    algo: Annotated[
        str | None, Option("--algo", "-a", "--run", "-r", help="Registered algorithm.", rich_help_panel=EXPERIMENT)
    ] = None
    env: Annotated[
        str | None,
        Option(
            "--env",
            "-e",
            help="Registered name, gymnasium id, `module:Class` or `pettingzoo:module`.",
            rich_help_panel=EXPERIMENT,
        ),
    ] = None
    config: Annotated[
        list[str] | None,
        Option(
            "--config",
            "-c",
            help="Settings of the algorithm: JSON or key=value, repeatable; dots reach into groups "
            "(env_config.size=5). Values to search are written as grid:1e-3,3e-4, choice:8,16, uniform:0,1, "
            "loguniform:1e-5,1e-3, randint:1,9, quniform:0,1,0.1.",
            rich_help_panel=EXPERIMENT,
        ),
    ] = None
    preset: Annotated[str | None, Option(help="Named set of options of the algorithm.", rich_help_panel=EXPERIMENT)] = (
        None
    )
    stop: Annotated[
        str | None,
        Option("--stop", "-s", help="Stop criteria by metric name, as JSON.", rich_help_panel=EXPERIMENT),
    ] = None
    stop_iters: Annotated[int | None, Option(min=1, help="Training iterations.", rich_help_panel=EXPERIMENT)] = None
    stop_timesteps: Annotated[int | None, Option(min=1, help="Sampled env steps.", rich_help_panel=EXPERIMENT)] = None
    stop_reward: Annotated[float | None, Option(help="Mean episode return.", rich_help_panel=EXPERIMENT)] = None
    num_samples: Annotated[
        int | None,
        Option(min=1, help=f"Repeats, or draws of what is searched. {_default(1)}", rich_help_panel=EXPERIMENT),
    ] = None
    seed: Annotated[int | None, Option(help="Seed; repeats take seed, seed + 1, ...", rich_help_panel=EXPERIMENT)] = (
        None
    )
    scheduler: Annotated[
        str | None,
        Option(help="Scheduler of Ray Tune: async_hyperband, pbt, median_stopping_rule, ...", rich_help_panel=SWEEP),
    ] = None
    scheduler_config: Annotated[
        str | None, Option(help="Arguments of the scheduler, as JSON.", rich_help_panel=SWEEP)
    ] = None
    search: Annotated[
        str | None,
        Option(help=f"Search algorithm of Ray Tune: optuna, ... {_default('random')}", rich_help_panel=SWEEP),
    ] = None
    search_config: Annotated[
        str | None, Option(help="Arguments of the search algorithm, as JSON.", rich_help_panel=SWEEP)
    ] = None
    metric: Annotated[
        str | None,
        Option(help="Metric by which trials are compared. " + _default("the mean return"), rich_help_panel=SWEEP),
    ] = None
    mode: Annotated[
        str | None,
        Option(help=f"Whether the highest or the lowest is best: max, min. {_default('max')}", rich_help_panel=SWEEP),
    ] = None
    as_test: Annotated[
        bool | None, Option("--as-test", help="Exit 1 unless the stop reward is reached.", rich_help_panel=EXPERIMENT)
    ] = None

    experiment_name: Annotated[
        str | None,
        Option(
            "--experiment-name",
            "-n",
            help=f"Folder of this experiment. {_default(DEFAULT_EXPERIMENT_NAME)}",
            rich_help_panel=RESULTS,
        ),
    ] = None
    local_dir: Annotated[
        str | None,
        Option(
            "--local-dir",
            "--storage-path",
            help=f"Results root, a path or URI. {_default(DEFAULT_RESULTS_ROOT)}",
            rich_help_panel=RESULTS,
        ),
    ] = None
    checkpoint_freq: Annotated[
        int | None,
        Option(
            min=0,
            metavar="N",
            help=f"Iterations between checkpoints, 0 for none. {_default(DEFAULT_CHECKPOINT_FREQUENCY)}",
            rich_help_panel=CHECKPOINTS,
        ),
    ] = None
    checkpoint_at_end: Annotated[
        bool | None, Option(help=f"Write a last checkpoint. {_default('on')}", rich_help_panel=RESULTS)
    ] = None
    keep_checkpoints_num: Annotated[
        int | None,
        Option(
            min=0,
            metavar="N",
            help=f"Checkpoints kept, 0 for all. {_default(DEFAULT_CHECKPOINTS_KEPT)}",
            rich_help_panel=CHECKPOINTS,
        ),
    ] = None
    checkpoint_score_attr: Annotated[
        str | None,
        Option(
            metavar="TEXT",
            help="Metric that decides which checkpoints are kept, `min-` before it for the lowest. "
            + _default("the newest are kept"),
            rich_help_panel=CHECKPOINTS,
        ),
    ] = None
    restore: Annotated[
        str | None,
        Option(metavar="PATH", help="Checkpoint to start a new experiment from.", rich_help_panel=CHECKPOINTS),
    ] = None
    resume: Annotated[
        bool | None,
        Option("--resume", help="Go on with the interrupted experiment of this name.", rich_help_panel=RESULTS),
    ] = None

    num_env_runners: Annotated[int | None, Option(min=0, help="Processes that sample.", rich_help_panel=SCALING)] = None
    num_envs_per_env_runner: Annotated[
        int | None, Option(min=1, help="Environments in each of them.", rich_help_panel=SCALING)
    ] = None
    num_learners: Annotated[int | None, Option(min=0, help="Processes that learn.", rich_help_panel=SCALING)] = None
    num_gpus_per_learner: Annotated[
        float | None, Option(min=0, help="GPUs of each of them.", rich_help_panel=SCALING)
    ] = None
    evaluation_interval: Annotated[
        int | None, Option(min=1, help="Iterations between evaluations.", rich_help_panel=SCALING)
    ] = None
    evaluation_duration: Annotated[
        int | None, Option(min=1, help="Episodes of an evaluation.", rich_help_panel=SCALING)
    ] = None

    wandb_key: Annotated[
        str | None, Option(help="Weights & Biases key, or a file with it.", rich_help_panel=LOGGERS)
    ] = None
    wandb_project: Annotated[str | None, Option(help="Weights & Biases project.", rich_help_panel=LOGGERS)] = None
    wandb_run_name: Annotated[str | None, Option(help="Weights & Biases run.", rich_help_panel=LOGGERS)] = None
    mlflow_uri: Annotated[str | None, Option(help="MLflow tracking URI.", rich_help_panel=LOGGERS)] = None

    ray_address: Annotated[
        str | None, Option(help="A running cluster. " + _default("a new one here"), rich_help_panel=CLUSTER)
    ] = None
    ray_num_cpus: Annotated[
        int | None, Option(min=1, help="CPUs of a new cluster. " + _default("all"), rich_help_panel=CLUSTER)
    ] = None
    ray_num_gpus: Annotated[
        int | None, Option(min=0, help="GPUs of a new cluster. " + _default("all"), rich_help_panel=CLUSTER)
    ] = None
    local_mode: Annotated[
        bool | None,
        Option(
            "--local-mode",
            help="Everything in this one process, for a debugger (no Tune, env runners or learners of their own).",
            rich_help_panel=CLUSTER,
        ),
    ] = None
    no_tune: Annotated[
        bool | None, Option("--no-tune", help="Run the algorithm in this process.", rich_help_panel=CLUSTER)
    ] = None
    verbose: _Verbose = 0

    def given(self) -> list[str]:
        """Returns the names of the options that the command line set."""
        return [field.name for field in dataclasses.fields(self) if getattr(self, field.name) != field.default]


def takes_options(options_class: type, without: Collection[str] = ()) -> Callable[[Callable[..., Any]], Any]:
    """Decorates a command so that its keyword `options` is filled from one command-line option per field.

    Fields named in `without` are not offered and keep their default.
    """
    hints = get_type_hints(options_class, include_extras=True)
    fields = {field.name: field for field in dataclasses.fields(options_class) if field.name not in without}

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        own = [p for p in inspect.signature(command).parameters.values() if p.name != "options"]
        offered = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[name])
            for name, field in fields.items()
        ]

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            options = options_class(**{name: kwargs.pop(name) for name in fields})
            return command(*args, options=options, **kwargs)

        wrapper.__name__ = command.__name__
        wrapper.__doc__ = command.__doc__
        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own] + offered
        wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return wrapper

    return decorate


@dataclass(kw_only=True)
class EvaluateOptions:
    """What was given on the command line of `rllib evaluate`."""

    episodes: Annotated[int | None, Option(min=1, help=f"Episodes to play. {_default(10)}")] = None
    steps: Annotated[int | None, Option(min=1, help="Env steps to play; the last episode is played to its end.")] = None
    env: _OtherEnvironment = None
    config: _OtherSettings = None
    algo: Annotated[
        str | None, Option("--algo", "-a", "--run", "-r", help="Algorithm that the checkpoint has to be of.")
    ] = None
    seed: Annotated[int | None, Option(help=f"Seed of the first episode; then seed + 1, ... {_default(0)}")] = None
    greedy: Annotated[
        bool | None,
        Option("--greedy/--sample", help=f"The most probable actions, or samples. {_default('greedy')}"),
    ] = None
    render: Annotated[bool | None, Option("--render", help="Show the episodes in a window.")] = None
    video_dir: Annotated[Path | None, Option(help="Folder for one video per episode (MP4, or GIF).")] = None
    out: Annotated[Path | None, Option(help="JSON file for returns, lengths and metrics.")] = None
    num_env_runners: Annotated[
        int | None, Option(min=0, help=f"Processes that play side by side, 0 for this one. {_default(0)}")
    ] = None
    verbose: _Verbose = 0


@dataclass(kw_only=True)
class CheckOptions:
    """What was given on the command line of `rllib check-env`."""

    config: Annotated[
        list[str] | None,
        Option("--config", "-c", help="Settings of the environment: JSON or key=value, repeatable (size=5)."),
    ] = None
    episodes: Annotated[int, Option(min=1, help="Episodes to play.")] = DEFAULT_CHECKED_EPISODES
    steps: Annotated[int, Option(min=1, help="Steps after which an episode is left.")] = DEFAULT_CHECKED_STEPS
    seed: Annotated[int, Option(min=0, help="Seed of the first episode and of the actions.")] = 0
    out: Annotated[Path | None, Option(help="JSON file for what was found.")] = None
    verbose: _Verbose = 0


@dataclass(kw_only=True)
class CompareOptions:
    """What was given on the command line of `rllib compare`."""

    out: Annotated[Path, Option("--out", "-o", help="Folder for the report, its figures and numbers.")] = Path(
        "comparison"
    )
    overwrite: Annotated[bool, Option("--overwrite", help="Replace the report that is in the folder.")] = False
    metric: Annotated[
        str | None,
        Option(
            "--metric",
            "-m",
            help="Metric of the results, in full or its end (won, episode_return_mean). "
            + _default("win rate or return of evaluations where all runs have them, of training otherwise"),
        ),
    ] = None
    lower_is_better: Annotated[bool, Option("--lower-is-better", help="For losses, lengths and the like.")] = False
    threshold: Annotated[
        float | None, Option(help="Score whose first reaching is measured. " + _default("80 % of the best final score"))
    ] = None
    reference: Annotated[
        str | None, Option(help="What ratios of steps are to. " + _default("MAMBA where present, else the first"))
    ] = None
    statistic: Annotated[str, Option(help="Line of the curves: iqm (interquartile mean) or mean.")] = "iqm"
    smoothing: Annotated[int, Option(min=0, help="Episodes that each value is averaged over, 0 for none.")] = 50
    final_share: Annotated[
        float, Option(min=0.0, max=1.0, help="Last part of a run's steps that its final score is averaged over.")
    ] = 0.1
    resamples: Annotated[int, Option(min=100, help="Draws of the bootstrap.")] = 2000
    allow_different_env_config: Annotated[
        bool, Option("--allow-different-env-config", help="Compare different settings of one environment.")
    ] = False
    allow_different_step_units: Annotated[
        bool, Option("--allow-different-step-units", help="Compare env steps with agent steps.")
    ] = False
    allow_equal_seeds: Annotated[
        bool, Option("--allow-equal-seeds", help="Take several runs with one seed for several seeds.")
    ] = False
    verbose: _Verbose = 0


@dataclass(kw_only=True)
class DreamOptions:
    """What was given on the command line of `rllib dream`."""

    out: Annotated[Path, Option("--out", "-o", help="Folder for the pictures and numbers.")] = Path("dream")
    overwrite: Annotated[bool, Option("--overwrite", help="Replace the pictures that are in the folder.")] = False
    episodes: Annotated[int, Option(min=1, help="Episodes to play.")] = 10
    horizon: Annotated[int, Option(min=1, help="Steps to predict without looking.")] = 15
    context: Annotated[int, Option(min=1, help="Observations that the model sees before.")] = 5
    starts: Annotated[int, Option(min=1, help="Predictions in each episode, from rows spread over it.")] = 4
    pictures: Annotated[int, Option(min=0, help="Episodes of which a prediction is drawn.")] = 2
    team: Annotated[str | None, Option(help="Team whose world model it is. " + _default("the only one"))] = None
    env: _OtherEnvironment = None
    config: _OtherSettings = None
    seed: Annotated[int, Option(help="Seed of the first episode; then seed + 1, ...")] = 0
    greedy: Annotated[
        bool, Option("--greedy/--sample", help="Whether the most probable actions are played, or samples.")
    ] = True
    verbose: _Verbose = 0
