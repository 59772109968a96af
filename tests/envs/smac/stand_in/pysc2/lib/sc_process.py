"""Launches the program of the game, as PySC2 does: as a child with this process's environment."""

import subprocess
import time
from typing import Any

from pysc2.lib.remote_controller import RemoteController


class SC2LaunchError(Exception):
    """The game cannot be launched."""


class StarcraftProcess:
    """The process of a game; it ends with `close`, or when this object is deleted."""

    def __init__(self, run_config: Any, exec_path: str) -> None:
        # The program is `sleep`: it lives until somebody ends it.
        self._proc: subprocess.Popen[bytes] | None = subprocess.Popen([exec_path, "600"], env=run_config.env)
        self._controller: RemoteController | None = RemoteController(self._proc)

    @property
    def controller(self) -> RemoteController | None:
        return self._controller

    def close(self) -> None:
        if self._controller:
            self._controller.quit()
            self._controller.close()
            self._controller = None
        if self._proc:
            for _ in range(30):
                self._proc.terminate()
                if self._proc.poll() is not None:
                    break
                time.sleep(0.01)
            else:
                self._proc.kill()
                self._proc.wait()
            self._proc = None

    def __del__(self) -> None:
        self.close()
