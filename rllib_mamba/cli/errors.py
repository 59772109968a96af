"""Errors of the command line: one clear line each, with the exit code that goes with it."""

import difflib
import itertools
import re
from collections.abc import Iterable

USAGE = 2
FAILURE = 1
INTERRUPTED = 130

_EXCEPTION_LINE = re.compile(r"^(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*(?:Error|Exception|Interrupt|Exit): ")

_ANOTHER_EXCEPTION = "During handling of the above exception, another exception occurred:"


class CommandError(Exception):
    """What was asked for could not be done; `str()` is the line to print.

    `exit_code` is what the command ends with: 1 for a failure, 2 for wrong usage.
    """

    def __init__(self, message: str, exit_code: int = FAILURE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class UsageError(CommandError):
    """The command line itself is wrong (unknown name, unreadable value, options that contradict each other)."""

    def __init__(self, message: str) -> None:
        super().__init__(message, exit_code=USAGE)


def nearest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Returns up to `count` of the `known` names most similar to `name`, the nearest first."""
    by_lower = {candidate.lower(): candidate for candidate in sorted(known)}
    matches = difflib.get_close_matches(name.lower(), list(by_lower), n=count, cutoff=0.4)
    return [by_lower[match] for match in matches]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns " Did you mean ...?" with the nearest of the `known` names, or nothing when none is near."""
    names = nearest(name, known)
    return f" Did you mean {' or '.join(names)}?" if names else ""


def one_line(text: str) -> str:
    """Joins the lines of an error message into one."""
    return " ".join(part.strip() for part in text.splitlines() if part.strip())


def root_message(error: BaseException) -> str:
    """Returns "Type: message" of the exception that started a failure, in one line.

    Ray wraps an exception of a remote process, and puts one that was raised while an actor was made only into the text
    of its own: both are undone here.
    """
    text = str(error)
    while isinstance(inner := getattr(error, "cause", None), BaseException):
        error = inner
    while not str(error) and (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    message = str(error)
    if message and "Traceback" not in message:
        return one_line(f"{type(error).__name__}: {message}")
    return _last_exception(message or text) or type(error).__name__


def _last_exception(text: str) -> str:
    """The last exception with a message in tracebacks that are text."""
    # Ray describes the object that failed with its repr(), which may fail as well and is not what happened.
    parts = [part for part in text.split(_ANOTHER_EXCEPTION) if "in __repr__" not in part]
    lines = (parts or [text])[-1].splitlines()
    for index in reversed(range(len(lines))):
        if _EXCEPTION_LINE.match(lines[index]):
            following = itertools.takewhile(str.strip, lines[index:])
            return one_line("\n".join(following))
    return ""
