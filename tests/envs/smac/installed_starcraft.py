"""SMAC without StarCraft II: the packages are stood in for, the processes of the games are real ones."""

import os
import runpy
import shutil
import signal
import sys
import time
from pathlib import Path

STAND_IN = Path(__file__).parent / "stand_in"
PACKAGES = ("smac", "smacv2", "pysc2", "battle", "simulated_environment")


class StarCraft:
    """An installed game, and what runs of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        program = folder / "Versions" / "Base75800" / "SC2_x64"
        program.parent.mkdir(parents=True)
        # A copy is what tells the games of one test from any others.
        shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
        maps = folder / "Maps" / "SMAC_Maps"
        maps.mkdir(parents=True)
        for name in (*runpy.run_path(str(STAND_IN / "battle.py"))["TEAMS"], "32x32_flat"):
            (maps / f"{name}.SC2Map").write_bytes(b"a map")
        self.program = str(program)

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables of a program that is to find the game and the packages."""
        return {**os.environ, "SC2PATH": str(self.folder), "PYTHONPATH": str(STAND_IN)}

    def games(self) -> list[int]:
        """The processes of games that run."""
        found = []
        for name in filter(str.isdecimal, os.listdir("/proc")):
            try:
                command = Path(f"/proc/{name}/cmdline").read_bytes()
            except OSError:
                continue
            if command.startswith(self.program.encode()):
                found.append(int(name))
        return found

    def wait_for(self, number: int, seconds: float = 60.0) -> list[int]:
        """Waits until this number of games runs."""
        deadline = time.monotonic() + seconds
        while len(games := self.games()) != number:
            assert time.monotonic() < deadline, f"{len(games)} games run, not {number}"
            time.sleep(0.02)
        return games

    def crash(self, of: int = 1) -> None:
        """Kills one of the games, of which so many run."""
        # A program has no command line at the very moment it is started.
        game = self.wait_for(of)[0]
        os.kill(game, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while not _has_ended(game):
            assert time.monotonic() < deadline
            time.sleep(0.001)


def _has_ended(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    # Nobody has waited for it yet.
    return state == "Z"


def forget_packages() -> None:
    """Lets the next import of SMAC and what belongs to it find what is there then."""
    for name in list(sys.modules):
        if name.partition(".")[0] in PACKAGES:
            del sys.modules[name]
