"""From `--config`, `--preset` and `--stop` to RLlib's configuration, validated by name."""

import copy
import dataclasses
import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ray.rllib.algorithms.algorithm_config import DEPRECATED_VALUE, AlgorithmConfig, NotProvided
from ray.tune.search.sample import Domain

from rllib_mamba.cli.errors import UsageError, did_you_mean, one_line

GRID = "grid_search"
"""The one key of what `tune.grid_search` gives."""

_GROUP_ALIASES = {"lambda": "lambda_", "input": "input_", "num_workers": "num_env_runners"}

OLD_STOP_NAMES = {
    "episode_reward_mean": "env_runners/episode_return_mean",
    "sampler_results/episode_reward_mean": "env_runners/episode_return_mean",
    "env_runners/episode_reward_mean": "env_runners/episode_return_mean",
    "evaluation/sampler_results/episode_reward_mean": "evaluation/env_runners/episode_return_mean",
    "evaluation/episode_reward_mean": "evaluation/env_runners/episode_return_mean",
    "timesteps_total": "num_env_steps_sampled_lifetime",
    "num_env_steps_sampled": "num_env_steps_sampled_lifetime",
}


def parse_json(text: str, option: str) -> dict[str, Any]:
    """Returns the JSON object `text` given to `option`. Raises UsageError when it is something else."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"{option}: {text!r} is not JSON ({error.msg}, column {error.colno}).") from None
    if not isinstance(value, dict):
        raise UsageError(f'{option}: expected a JSON object such as {{"name": 1}}, got {text!r}.')
    return value


def parse_settings(texts: Iterable[str], option: str = "--config") -> dict[str, Any]:
    """Returns nested settings from JSON objects and `key=value` texts, later ones winning.

    Dots in a key reach into groups; a value is read as JSON where it is JSON, and is text otherwise.
    """
    settings: dict[str, Any] = {}
    for text in texts:
        if text.lstrip().startswith("{"):
            _merge(settings, nested_settings(parse_json(text, option)))
            continue
        key, equals, value_text = text.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"{option}: expected a JSON object or key=value, got {text!r}.")
        try:
            value = json.loads(value_text)
        except json.JSONDecodeError:
            value = {"True": True, "False": False, "None": None}.get(value_text, value_text)
        _merge(settings, nest(key.strip(), value))
    return settings


def apply_settings(config: AlgorithmConfig, settings: Mapping[str, Any], option: str = "--config") -> None:
    """Sets `settings` on `config` through the configuration methods that own them.

    Groups (dictionaries) are merged into what the configuration has. Raises UsageError for an unknown name, with the
    nearest ones, for text where a number is needed, and for what the configuration itself refuses.
    """
    methods = setting_methods(type(config))
    for given_name, value in settings.items():
        name = _GROUP_ALIASES.get(given_name, given_name)
        if name not in methods and not _is_attribute(config, name):
            known = {*methods, *(attribute for attribute in vars(config) if not attribute.startswith("_"))}
            raise UsageError(
                f"{option}: {type(config).__name__} has no setting {given_name!r}.{did_you_mean(given_name, known)}"
            )
        setting = _merged_value(config, name, value, option)
        try:
            if name in methods:
                getattr(config, methods[name])(**{name: setting})
            else:
                setattr(config, name, setting)
        except (ValueError, TypeError, AttributeError) as error:
            raise UsageError(f"{option}: {given_name}={value!r} is refused: {one_line(str(error))}") from error


def apply_preset(config: AlgorithmConfig, preset: str) -> None:
    """Applies the named `preset` of the algorithm. Raises UsageError where it has none of that name."""
    method: Callable[[str], Any] | None = getattr(config, "preset", None)
    if not callable(method):
        algorithm = config.algo_class.__name__ if config.algo_class else type(config).__name__
        raise UsageError(f"--preset: {algorithm} has no presets; leave out --preset {preset}.")
    try:
        method(preset)
    except ValueError as error:
        raise UsageError(f"--preset: {one_line(str(error))}") from error


def setting_methods(config_class: type[AlgorithmConfig]) -> dict[str, str]:
    """Maps each setting to the configuration method that takes it as a keyword (`lr` to `training`, ...)."""
    methods: dict[str, str] = {}
    for base in config_class.__mro__:
        for method_name, method in vars(base).items():
            if method_name.startswith("_") or not inspect.isfunction(method):
                continue
            for parameter in inspect.signature(method).parameters.values():
                if parameter.default is NotProvided:
                    methods.setdefault(parameter.name, method_name)
    return methods


def parse_stop(criteria: Mapping[str, Any], option: str = "--stop") -> dict[str, float]:
    """Returns flat stop criteria: nested names joined by `/`, names of RLlib's old metrics translated.

    Raises UsageError for a criterion that is not a number.
    """
    flat: dict[str, float] = {}
    for name, value in flatten(criteria).items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UsageError(f"{option}: the criterion {name} needs a number, got {value!r}.")
        flat[OLD_STOP_NAMES.get(name, name)] = value
    return flat


def nest(key: str, value: Any) -> dict[str, Any]:
    """Returns `value` under the levels that the dots of `key` separate."""
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def nested_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `settings` with levels in place of the dots in their names."""
    nested: dict[str, Any] = {}
    for key, value in settings.items():
        _merge(nested, nest(key, value))
    return nested


def merged(settings: Mapping[str, Any], update: Mapping[str, Any]) -> dict[str, Any]:
    """Returns nested `settings` with those of `update` set, at every level."""
    result = copy.deepcopy(dict(settings))
    _merge(result, update)
    return result


def is_searched(value: Any) -> bool:
    """Says whether `value` stands for values that Ray Tune draws or goes through."""
    return isinstance(value, Domain) or (isinstance(value, Mapping) and set(value) == {GRID})


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns a dictionary without levels, their names joined by `/`."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}/")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _merge(into: dict[str, Any], update: Mapping[str, Any]) -> None:
    for key, value in update.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict) and not is_searched(value):
            _merge(into[key], value)
        else:
            into[key] = value


def _is_attribute(config: AlgorithmConfig, name: str) -> bool:
    return not name.startswith("_") and name in vars(config) and vars(config)[name] != DEPRECATED_VALUE


def _merged_value(config: AlgorithmConfig, name: str, value: Any, option: str) -> Any:
    if is_searched(value):
        return value
    # RLlib's `model_config` is a read-only view with defaults of the algorithm mixed in; what users set is behind it.
    attribute = "_model_config" if name == "model_config" else name
    current = getattr(config, attribute, None)
    if isinstance(value, dict):
        if dataclasses.is_dataclass(current) and not isinstance(current, type):
            known = [field.name for field in dataclasses.fields(current)]
            for key in value:
                if key not in known:
                    raise UsageError(f"{option}: {name} has no setting {key!r}.{did_you_mean(key, known)}")
            return dataclasses.replace(current, **value)
        if isinstance(current, Mapping):
            return merged(current, value)
        if isinstance(current, bool | int | float | str):
            raise UsageError(f"{option}: {name} is a single value ({current!r}), not a group with settings in it.")
        return value
    if isinstance(current, bool | int | float) and isinstance(value, str) and value != "auto":
        raise UsageError(f"{option}: {name} needs a value like {current!r}, got the text {value!r}.")
    return value
