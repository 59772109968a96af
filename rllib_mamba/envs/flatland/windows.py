"""How many trains may be under way at once."""

from collections.abc import Mapping

from rllib_mamba.envs.flatland.checks import check_names, is_integer, is_number

WindowOption = int | Mapping[str, float]
"""A number of trains; or `{"per_train": a, "offset": b}` for a * trains + b of them; or
`{"per_map_size": a, "offset": b}` for a * (width + height) + b. An `offset` of 0 may be left out."""

_PER_TRAIN, _PER_MAP_SIZE, _OFFSET = "per_train", "per_map_size", "offset"


def check_window(window: object) -> None:
    """Refuse what is not a `WindowOption`.

    Raises:
        ValueError: a number below 1, an unknown key, or not exactly one of `per_train` and `per_map_size`.
        TypeError: neither a number nor a mapping, or a mapping to something else than numbers.
    """
    expected = 'an integer, {"per_train": a, "offset": b} or {"per_map_size": a, "offset": b}'
    if is_integer(window):
        if window < 1:  # type: ignore[operator]
            raise ValueError(f"window must be at least 1, got {window}")
        return
    if not isinstance(window, Mapping):
        raise TypeError(f"window must be {expected}, got {window!r}")
    check_names(window, (_PER_TRAIN, _PER_MAP_SIZE, _OFFSET), "key in window")
    for key, value in window.items():
        if not is_number(value):
            raise TypeError(f"window[{key!r}] must be a finite number, got {value!r}")
    if (_PER_TRAIN in window) == (_PER_MAP_SIZE in window):
        raise ValueError(f"window must be {expected}, got {window!r}")


def window_size(window: WindowOption, number_of_trains: int, width: int, height: int) -> int:
    """Trains that may be under way at once; what a linear window gives is rounded down, and at least 1."""
    if isinstance(window, int):
        return window
    size = window.get(_PER_TRAIN, 0) * number_of_trains + window.get(_PER_MAP_SIZE, 0) * (width + height)
    return max(1, int(size + window.get(_OFFSET, 0)))
