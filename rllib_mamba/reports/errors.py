"""The error of this package."""

import difflib
from collections.abc import Iterable


class ReportError(ValueError):
    """What was given cannot be reported on; `str()` says in one line what is wrong and what to do."""


def nearest_first(name: str, known: Iterable[str]) -> list[str]:
    """Returns `known` with the names most similar to `name` first."""

    def distance(candidate: str) -> tuple[float, str]:
        last = candidate.rpartition("/")[2]
        ratio = max(difflib.SequenceMatcher(None, name.lower(), text.lower()).ratio() for text in (candidate, last))
        return (-ratio, candidate)

    return sorted(known, key=distance)
