"""No game outlives the process that plays it, however that ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from installed_starcraft import StarCraft

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is left to the processes themselves")


@pytest.fixture
def driver(starcraft: StarCraft) -> Iterator[Any]:
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("driver.py"))],
        env=starcraft.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


def watchers(owner: int) -> list[str]:
    """The programs that watch over the games of a process."""
    found = []
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{name}/cmdline").read_text().split("\0")
        except OSError:
            continue
        if "watcher.py" in " ".join(words) and str(owner) in words:
            found.append(name)
    return found


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_games_end_with_the_process_that_plays_them(starcraft: StarCraft, driver: Any):
    def begin(role: str) -> int:
        print(role, file=driver.stdin, flush=True)
        return int(driver.stdout.readline())

    # Ctrl-C reaches the player, which may have something to finish, and not the game.
    player = begin("playing")
    starcraft.wait_for(1)
    os.killpg(player, signal.SIGINT)
    assert driver.stdout.readline() == "it goes on\n"
    assert len(starcraft.games()) == 1
    assert watchers(player)
    os.kill(player, signal.SIGKILL)
    starcraft.wait_for(0)
    wait_until(lambda: not watchers(player))

    player = begin("launching")
    starcraft.wait_for(1)
    os.kill(player, signal.SIGKILL)
    starcraft.wait_for(0)

    player = begin("leaving")
    starcraft.wait_for(0)
    wait_until(lambda: not watchers(player))


def test_an_environment_in_use_has_one_watcher_and_a_closed_one_none(starcraft: StarCraft, make: Callable[..., Any]):
    env = make()
    assert watchers(os.getpid()) == []
    env.reset()
    starcraft.wait_for(1)
    # A program has no command line at the very moment it is started.
    wait_until(lambda: len(watchers(os.getpid())) == 1)
    assert "RLLIB_MAMBA_GAME" not in os.environ
    env.close()
    assert watchers(os.getpid()) == []
