"""A process that plays SMAC in children of its own, each until it is told otherwise.

It reads lines, each how one more child shall be: "playing" (SIGINT makes it play one step more, and tell whether the
game went on), "launching" (the launch does not come to its end) or "leaving" (it ends without closing anything). Each
child writes its process id when its game runs.
"""

import os
import sys
import time
from typing import Any

import ray  # noqa: F401 (once, for all of them)

from rllib_mamba.envs.smac import SMACEnv


def play(env: Any) -> None:
    observations, _ = env.reset()
    try:
        tell(os.getpid())
        time.sleep(600)
    except KeyboardInterrupt:
        _, _, _, truncateds, _ = env.step(dict.fromkeys(observations, 1))
        tell("it crashed" if truncateds["__all__"] else "it goes on")
    time.sleep(600)


def launch(env: Any) -> None:
    from pysc2.lib import sc_process

    class Silent:
        def __init__(self, process: Any) -> None:
            tell(os.getpid())
            time.sleep(600)

    sc_process.RemoteController = Silent
    env.reset()


def leave(env: Any) -> None:
    env.reset()
    tell(os.getpid())


def tell(what: object) -> None:
    os.write(1, f"{what}\n".encode())


ROLES = {"playing": play, "launching": launch, "leaving": leave}

if __name__ == "__main__":
    for line in sys.stdin:
        if os.fork() == 0:
            # A group of its own, as if it had been started from a terminal.
            os.setpgid(0, 0)
            ROLES[line.strip()](SMACEnv({"map_name": "3m"}))
            sys.exit()
