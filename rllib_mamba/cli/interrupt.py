"""Ctrl-C in two steps: the first asks for a clean end, the second ends at once."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

_MESSAGE = "Ctrl-C: finishing this iteration and writing a checkpoint; press again to stop at once."


class Interrupt:
    """Notes the first SIGINT in `requested` and says so, calls `on_second` at the next; only in the main thread."""

    def __init__(self, on_second: Callable[[], None]) -> None:
        self.requested = False
        self._on_second = on_second
        self._previous: Any = None

    def install(self) -> None:
        """Takes over SIGINT until `remove`."""
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._handle)

    def remove(self) -> None:
        """Gives SIGINT back to whoever had it."""
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            self._previous = None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            self._on_second()
            return
        self.requested = True
        # A signal may arrive in the middle of a print, which Python's buffered streams do not allow in a handler.
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"{_MESSAGE}\n".encode())
