"""Values to search in settings: `grid:1e-3,3e-4`, `loguniform:1e-4,1e-2`, ... as text, and as Ray Tune knows them."""

import difflib
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray import tune
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.tune.search.sample import Categorical, Float, Integer, Quantized

from rllib_mamba.cli.errors import UsageError, did_you_mean, one_line
from rllib_mamba.cli.settings import GRID, apply_settings, is_searched, merged, nest

_WORD = re.compile(r"([A-Za-z]+)\s*:(.*)", re.DOTALL)


@dataclass(frozen=True)
class _Kind:
    """A word, the arguments that follow it as people write them, and what they become."""

    arguments: str
    make: Callable[..., Any]
    integers: bool = False


_LISTS = {
    "grid": _Kind("value,value,...", lambda *values: tune.grid_search(list(values))),
    "choice": _Kind("value,value,...", lambda *values: tune.choice(list(values))),
}
_RANGES = {
    "uniform": _Kind("low,high", tune.uniform),
    "quniform": _Kind("low,high,step", tune.quniform),
    "loguniform": _Kind("low,high", tune.loguniform),
    "qloguniform": _Kind("low,high,step", tune.qloguniform),
    "randint": _Kind("low,high", tune.randint, integers=True),
    "qrandint": _Kind("low,high,step", tune.qrandint, integers=True),
    "lograndint": _Kind("low,high", tune.lograndint, integers=True),
    "qlograndint": _Kind("low,high,step", tune.qlograndint, integers=True),
}
WORDS = {**_LISTS, **_RANGES}


# ---------------------------------------------------------------------- from text


def read_search_space(settings: Mapping[str, Any], option: str = "--config") -> dict[str, Any]:
    """Returns nested `settings` with what Tune searches in place of texts such as `loguniform:1e-4,1e-2`.

    Raises UsageError that names the setting and the form expected, for wrong bounds and misspelled words.
    """
    return _read(settings, option, "")


def _read(settings: Mapping[str, Any], option: str, prefix: str) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping) and not is_searched(value):
            result[name] = _read(value, option, f"{prefix}{name}.")
        elif isinstance(value, str):
            result[name] = _read_text(f"{option}: {prefix}{name}", value)
        else:
            result[name] = value
    return result


def _read_text(setting: str, text: str) -> Any:
    match = _WORD.fullmatch(text.strip())
    if match is None:
        return text
    word, rest = match[1], match[2]
    if word not in WORDS:
        _check_not_misspelled(setting, word, rest)
        return text
    kind = WORDS[word]
    expected = f"expected {word}:{kind.arguments}"
    if word in _LISTS:
        values = _values(rest)
        if not values:
            raise UsageError(f"{setting}: {text!r} has no values; {expected}.")
        return kind.make(*values)
    return kind.make(*_bounds(setting, text, word, rest, expected))


def _check_not_misspelled(setting: str, word: str, rest: str) -> None:
    near = difflib.get_close_matches(word.lower(), WORDS, n=1, cutoff=0.75)
    if near and all(isinstance(value, int | float) for value in _values(rest) or [""]):
        raise UsageError(
            f"{setting}: {word!r} is no kind of search.{did_you_mean(word, WORDS)} Known are {', '.join(WORDS)}."
        )


def _values(text: str) -> list[Any]:
    """Values between commas: JSON where all of them are, otherwise each as JSON or as text."""
    try:
        return list(json.loads(f"[{text}]"))
    except json.JSONDecodeError:
        return [_value(part.strip()) for part in text.split(",") if part.strip()]


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return {"True": True, "False": False, "None": None}.get(text, text)


def _bounds(setting: str, text: str, word: str, rest: str, expected: str) -> list[Any]:
    kind = WORDS[word]
    try:
        numbers: list[Any] = [float(part) for part in rest.split(",")]
    except ValueError:
        raise UsageError(f"{setting}: {text!r} holds something that is no number; {expected}.") from None
    if len(numbers) != kind.arguments.count(",") + 1 or not all(map(math.isfinite, numbers)):
        raise UsageError(f"{setting}: {text!r} does not have the right numbers; {expected}.")
    if kind.integers:
        if not all(number.is_integer() for number in numbers):
            raise UsageError(f"{setting}: {text!r} needs integers; {expected}.")
        numbers = [int(number) for number in numbers]
    low, high, *step = numbers
    if low >= high:
        raise UsageError(f"{setting}: {text!r}: the lower bound is not below the upper one; {expected}.")
    if "log" in word and low <= 0:
        raise UsageError(f"{setting}: {text!r}: the lower bound has to be above 0 on a logarithmic scale; {expected}.")
    if step and not 0 < step[0] <= high - low:
        raise UsageError(f"{setting}: {text!r}: the step has to be above 0 and fit between the bounds; {expected}.")
    if step and any(not math.isclose(bound / step[0], round(bound / step[0]), abs_tol=1e-9) for bound in (low, high)):
        raise UsageError(f"{setting}: {text!r}: both bounds have to be multiples of the step; {expected}.")
    return numbers


# ---------------------------------------------------------------------- what it holds


def split(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns nested `settings` in two parts: values that are fixed, and those to search."""
    fixed: dict[str, Any] = {}
    searched: dict[str, Any] = {}
    for name, value in settings.items():
        if is_searched(value):
            searched[name] = value
        elif isinstance(value, Mapping):
            fixed[name], inner = split(value)
            if inner:
                searched[name] = inner
        else:
            fixed[name] = value
    return fixed, searched


def without(space: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `space` without what nested `settings` decide."""
    result: dict[str, Any] = {}
    for name, value in space.items():
        if name not in settings:
            result[name] = value
        elif isinstance(value, Mapping) and not is_searched(value) and isinstance(settings[name], Mapping):
            result[name] = without(value, settings[name])
    return result


def take_from(config: AlgorithmConfig) -> dict[str, Any]:
    """Takes what Tune is to search out of a configuration, as a file may hold it; leaves `largest` in its place."""
    space: dict[str, Any] = {}
    for attribute, value in list(vars(config).items()):
        # The name behind RLlib's read-only view of it.
        name = "model_config" if attribute == "_model_config" else attribute
        if is_searched(value):
            space[name] = value
            setattr(config, attribute, largest({name: value})[name])
        elif isinstance(value, Mapping):
            fixed, inner = split(value)
            if inner:
                space[name] = inner
                setattr(config, attribute, merged(fixed, largest(inner)))
    return space


def leaves(space: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields each searched setting, its levels joined by dots, with what is searched."""
    for name, value in space.items():
        if is_searched(value) or not isinstance(value, Mapping):
            yield f"{prefix}{name}", value
        else:
            yield from leaves(value, f"{prefix}{name}.")


def grid_size(space: Mapping[str, Any]) -> int:
    """Returns the number of points of all grids together, 1 where there is none."""
    return math.prod(len(value[GRID]) for _, value in leaves(space) if isinstance(value, Mapping))


def extremes(searched: Any) -> list[Any]:
    """Returns the values of a grid, a choice or a list, and the ends of a range."""
    if isinstance(searched, Mapping):
        return list(searched[GRID])
    if isinstance(searched, Categorical):
        return list(searched.categories)
    if isinstance(searched, Integer):
        inclusive = isinstance(searched.get_sampler(), Quantized)
        return [searched.lower, searched.upper if inclusive else searched.upper - 1]
    if isinstance(searched, Float):
        # The upper bound itself is not drawn.
        return [searched.lower, math.nextafter(searched.upper, searched.lower)]
    return list(searched) if isinstance(searched, Sequence) else []


def largest(space: Mapping[str, Any]) -> dict[str, Any]:
    """Returns one value for each searched setting: the largest number, or the first of other values.

    What a trial asks of the machine at most is that of these.
    """
    result: dict[str, Any] = {}
    for name, value in space.items():
        if isinstance(value, Mapping) and not is_searched(value):
            result[name] = largest(value)
            continue
        values = extremes(value)
        numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in values)
        result[name] = max(values) if numbers else values[0]
    return result


def as_mutations(space: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what population-based training perturbs, where it is what `--config` searches: grids are its lists."""
    mutations: dict[str, Any] = {}
    for name, value in space.items():
        if not isinstance(value, Mapping):
            mutations[name] = value
        else:
            mutations[name] = list(value[GRID]) if is_searched(value) else as_mutations(value)
    return mutations


# ---------------------------------------------------------------------- checks


def check_values(config: AlgorithmConfig, space: Mapping[str, Any], option: str = "--config") -> None:
    """Raises UsageError where the algorithm refuses an end of a range or one of the values of a grid or choice.

    Each is tried on its own, on a copy of `config`.
    """
    for name, searched in leaves(space):
        for value in extremes(searched):
            variant = config.copy(copy_frozen=False)
            apply_settings(variant, nest(name, value), option)
            try:
                _validate(variant, name)
            except (ValueError, TypeError, AttributeError, KeyError) as error:
                raise UsageError(f"{option}: {name}={value!r} is refused: {one_line(str(error))}") from error


def _validate(config: AlgorithmConfig, name: str) -> None:
    check_options = getattr(config, "check_options", None)
    if callable(check_options) and not name.startswith("env_config."):
        # Everything but the environment, which may take seconds to make.
        check_options()
    else:
        config.validate()
