"""The processes of a game, which must not outlive the one that plays it."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from rllib_mamba.envs.smac import watcher


class GameProcesses:
    """All processes that are started under `marked()`.

    On Linux they end with `end()`, and also when this process is killed: a small program that it starts beside the
    first of them sees to that. Elsewhere, and for a game that runs under another user, it does nothing.
    """

    def __init__(self) -> None:
        self._mark = f"{os.getpid()}-{uuid.uuid4().hex}"
        self._watcher: subprocess.Popen[bytes] | None = None

    @contextmanager
    def marked(self) -> Iterator[None]:
        """Makes the processes that are started meanwhile ones of these; Ctrl-C does not reach them."""
        if sys.platform != "linux":
            yield
            return
        if self._watcher is None:
            self._watcher = self._start_watcher()
        before = os.environ.get(watcher.VARIABLE)
        # A process inherits both. Ctrl-C is for this process: it may want to finish what it does with the game.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        os.environ[watcher.VARIABLE] = self._mark
        try:
            yield
        finally:
            if before is None:
                del os.environ[watcher.VARIABLE]
            else:
                os.environ[watcher.VARIABLE] = before
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def end(self) -> None:
        """Kills those that still run."""
        if self._watcher is None:
            return
        watcher.kill_marked(self._mark)
        self._watcher.kill()
        self._watcher.wait()
        self._watcher = None

    def _start_watcher(self) -> subprocess.Popen[bytes]:
        # Alone in its session, so that what ends a whole process group or terminal spares it.
        return subprocess.Popen(
            [sys.executable, "-I", "-S", watcher.__file__, str(os.getpid()), self._mark],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
