"""Checks of what users give, shared by all options."""

import difflib
import math
from collections.abc import Iterable, Sequence


def check_names(names: Iterable[object], known: Sequence[str], what: str) -> None:
    """Refuse names that are not known.

    Raises:
        ValueError: the first unknown one, with the nearest of the known ones or all of them.
    """
    for name in names:
        if name not in known:
            nearest = difflib.get_close_matches(str(name), known, n=1)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"known are {', '.join(known)}"
            raise ValueError(f"unknown {what} {name!r}: {hint}")


def is_integer(value: object) -> bool:
    """Whether `value` is an integer; True and False are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Whether `value` is a finite integer or float."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
