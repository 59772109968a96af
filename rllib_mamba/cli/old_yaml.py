"""YAML of RLlib's old tuned-example form: experiments by name, with `run`, `env`, `stop`, `config`, Tune's options."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.connectors.env_to_module import MeanStdFilter
from ray.tune import CheckpointConfig, FailureConfig, RunConfig, TuneConfig

from rllib_mamba.cli.environments import set_environment
from rllib_mamba.cli.errors import UsageError, did_you_mean, one_line
from rllib_mamba.cli.experiment import Experiment, get_algorithm
from rllib_mamba.cli.settings import apply_settings, parse_stop

_RENAMED = {
    "num_sgd_iter": "num_epochs",
    "sgd_minibatch_size": "minibatch_size",
    "num_workers": "num_env_runners",
    "num_envs_per_worker": "num_envs_per_env_runner",
    "num_cpus_per_worker": "num_cpus_per_env_runner",
    "num_gpus_per_worker": "num_gpus_per_env_runner",
    "custom_resources_per_worker": "custom_resources_per_env_runner",
    "evaluation_num_workers": "evaluation_num_env_runners",
    "evaluation_num_episodes": "evaluation_duration",
    "ignore_worker_failures": "ignore_env_runner_failures",
    "recreate_failed_workers": "restart_failed_env_runners",
    "num_gpus": "num_gpus_per_learner",
    "model": "model_config",
    "timesteps_per_iteration": "min_sample_timesteps_per_iteration",
    "min_iter_time_s": "min_time_s_per_iteration",
    "learning_starts": "num_steps_sampled_before_learning_starts",
    "lr_schedule": "lr",
    "entropy_coeff_schedule": "entropy_coeff",
}
_MEANINGLESS = {
    *("framework", "enable_connectors", "simple_optimizer", "eager_tracing", "eager_max_retraces", "tf_session_args"),
    *("local_tf_session_args", "_disable_preprocessor_api", "_enable_rl_module_api", "_enable_learner_api"),
}
_NEEDS_PYTHON = {
    "multiagent": "maps agents to policies",
    "callbacks": "names classes",
    "exploration_config": "belonged to the old API stack; algorithms explore by settings of their own",
    "horizon": "cut episodes; environments do that now",
}
_KEYS = {
    *("run", "env", "stop", "config", "num_samples", "checkpoint_config", "checkpoint_freq", "checkpoint_at_end"),
    *("keep_checkpoints_num", "checkpoint_score_attr", "local_dir", "storage_path", "max_failures"),
}


def experiments_from_yaml(file: Path) -> list[Experiment]:
    """Reads the experiments of `file`, in order. Raises UsageError for whatever has no meaning any more."""
    try:
        content = yaml.safe_load(file.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is not YAML: {one_line(str(error))}") from error
    if not isinstance(content, dict) or not content or not all(isinstance(body, dict) for body in content.values()):
        raise UsageError(f"{file}: expected experiments: a name, and under it `run`, `env`, `stop`, `config`.")
    return [_experiment(file, str(name), body) for name, body in content.items()]


def _experiment(file: Path, name: str, body: Mapping[str, Any]) -> Experiment:
    place = f"{file}, {name}"
    for key in body:
        if key not in _KEYS:
            raise UsageError(f"{place}: {key} is not understood.{did_you_mean(str(key), _KEYS)}")
    if not isinstance(body.get("run"), str):
        raise UsageError(f"{place}: `run`, the name of the algorithm, is missing.")
    settings = body.get("config") or {}
    if not isinstance(settings, dict):
        raise UsageError(f"{place}: `config` holds settings by name, not {settings!r}.")
    algorithm = get_algorithm(body["run"])
    experiment = Experiment(algorithm, algorithm.get_default_config(), ["file", str(file)])
    settings = dict(settings)
    environment = body.get("env") or settings.pop("env", None)
    observation_filter = settings.pop("observation_filter", None)
    apply_settings(experiment.config, _translated(settings, place, experiment.notes), option=place)
    if environment is not None:
        if not isinstance(environment, str):
            raise UsageError(f"{place}: `env` is the name of one environment, not {environment!r}.")
        note = set_environment(experiment.config, environment)
        experiment.notes += [note] if note else []
    _set_filter(experiment.config, observation_filter, place)
    experiment.stop = parse_stop(body.get("stop") or {}, f"{place}: stop")
    experiment.run_config = RunConfig(
        name=name,
        storage_path=body.get("storage_path") or body.get("local_dir"),
        checkpoint_config=_checkpoint_config(body, place),
        failure_config=FailureConfig(max_failures=int(body.get("max_failures", 0))),
    )
    experiment.tune_config = TuneConfig(num_samples=int(body.get("num_samples", 1)))
    return experiment


def _translated(settings: Mapping[str, Any], place: str, notes: list[str]) -> dict[str, Any]:
    """The settings by their present names; those without a meaning are left out, with a note."""
    translated: dict[str, Any] = {}
    left_out = []
    # A schedule wins over the single value beside it.
    for name, value in sorted(settings.items(), key=lambda item: item[0].endswith("_schedule")):
        if name in _NEEDS_PYTHON:
            raise UsageError(f"{place}: {name} {_NEEDS_PYTHON[name]}: leave it out, or write the experiment in Python.")
        if name in _MEANINGLESS:
            left_out += [] if (name, value) == ("framework", "torch") else [f"{name}: {value}"]
        elif name.endswith("_schedule") and name in _RENAMED and value is None:
            continue
        elif name == "vf_share_layers":
            translated.setdefault("model_config", {})["vf_share_layers"] = value
        elif name == "buffer_size":
            translated.setdefault("replay_buffer_config", {})["capacity"] = value
        elif isinstance(value, dict) and isinstance(translated.get(_RENAMED.get(name, name)), dict):
            translated[_RENAMED.get(name, name)] |= value
        else:
            translated[_RENAMED.get(name, name)] = dict(value) if isinstance(value, dict) else value
    if "custom_model" in (translated.get("model_config") or {}):
        raise UsageError(f"{place}: custom_model names a class of the old API stack: write an RLModule, in Python.")
    if left_out:
        notes.append(f"Without meaning on RLlib's new API stack (PyTorch only), and left out: {', '.join(left_out)}.")
    return translated


def _set_filter(config: AlgorithmConfig, name: str | None, place: str) -> None:
    if name in (None, "NoFilter"):
        return
    if name not in ("MeanStdFilter", "ConcurrentMeanStdFilter"):
        raise UsageError(f"{place}: observation_filter {name!r} is none of NoFilter, MeanStdFilter.")
    if config._env_to_module_connector is not None:
        raise UsageError(f"{place}: observation_filter: {name} does not go with observations that are flattened.")
    config.env_runners(env_to_module_connector=_filter_agents if config.is_multi_agent else _filter)


def _filter(env: Any, spaces: Any, device: Any) -> MeanStdFilter:
    return MeanStdFilter()


def _filter_agents(env: Any, spaces: Any, device: Any) -> MeanStdFilter:
    return MeanStdFilter(multi_agent=True)


def _checkpoint_config(body: Mapping[str, Any], place: str) -> CheckpointConfig | None:
    values = dict(body.get("checkpoint_config") or {})
    for old, new in (
        ("checkpoint_freq", "checkpoint_frequency"),
        ("checkpoint_at_end", "checkpoint_at_end"),
        ("keep_checkpoints_num", "num_to_keep"),
    ):
        if old in body:
            values[new] = body[old]
    if "checkpoint_score_attr" in body:
        attribute = str(body["checkpoint_score_attr"])
        values["checkpoint_score_attribute"] = attribute.removeprefix("min-")
        values["checkpoint_score_order"] = "min" if attribute.startswith("min-") else "max"
    try:
        return CheckpointConfig(**values) if values else None
    except (TypeError, ValueError) as error:
        raise UsageError(f"{place}: checkpoint_config: {one_line(str(error))}") from error
