"""Ends the games of a process that has died. Linux; the standard library alone, because it runs as a program, too.

    python watcher.py OWNER MARK

waits until the process OWNER, which has started it, is no more, and then kills every process that bears MARK.
"""

import contextlib
import os
import signal
import sys
import time

VARIABLE = "RLLIB_MAMBA_GAME"
"""The environment variable that holds the mark of a game and of whatever the game starts."""

_SECONDS_BETWEEN_LOOKS = 0.25
_SECONDS_TO_DIE = 5.0


def kill_marked(mark: str) -> None:
    """Kills all processes that were started with `mark` in their environment, and waits until they are gone."""
    deadline = time.monotonic() + _SECONDS_TO_DIE
    while (found := _marked(mark)) and time.monotonic() < deadline:
        for process in found:
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.01)


def _marked(mark: str) -> list[int]:
    entry = f"{VARIABLE}={mark}".encode()
    found = []
    for name in filter(str.isdecimal, os.listdir("/proc")):
        # It may be gone by now, or somebody else's.
        with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as environment:
            if entry in environment.read().split(b"\0"):
                found.append(int(name))
    return found


def main(owner: int, mark: str) -> None:
    """Waits for the end of `owner`, whatever else ends meanwhile."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.getppid() == owner:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    kill_marked(mark)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
