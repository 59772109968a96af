"""Runs that several modules look at, and algorithms that do not outlive their test."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rllib_mamba import MAMBA, MAMBAConfig

HERE = Path(__file__).parent
RUNS = ("symbol_game", "annealed", "two_teams", "signals")


@pytest.fixture(scope="session")
def killed_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of runs that a process began, saved, went on with, and was killed in."""
    directory = tmp_path_factory.mktemp("killed")
    process = subprocess.Popen(
        [sys.executable, HERE / "interrupted_run.py", directory, *RUNS],
        stdout=subprocess.PIPE,
        text=True,
        cwd=HERE,
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == "ready":
                break
    finally:
        os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    return directory


@pytest.fixture
def build() -> Iterator[Callable[[MAMBAConfig], MAMBA]]:
    """Builds algorithms and stops them after the test."""
    algorithms = []

    def make(config: MAMBAConfig) -> MAMBA:
        algorithms.append(config.build_algo())
        return algorithms[-1]

    yield make
    for algorithm in algorithms:
        algorithm.stop()


@pytest.fixture(scope="session")
def signals_checkpoint(killed_run: Path) -> Path:
    """A checkpoint of a team that has learned a little in a game with masks, deaths and agents of different sizes."""
    return killed_run / "signals" / "checkpoint"


@pytest.fixture(scope="session")
def exported(signals_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a process without a cluster exported, after its policy had acted as RLlib's module does."""
    directory = tmp_path_factory.mktemp("exported")
    run_script("without_cluster.py", signals_checkpoint, directory)
    return directory


def run_script(name: str, *arguments: object) -> None:
    """Runs a program beside the tests, which must succeed."""
    command = [sys.executable, HERE / name, *map(str, arguments)]
    process = subprocess.run(command, capture_output=True, text=True, cwd=HERE, timeout=240)
    assert process.returncode == 0, process.stderr[-4000:]


@pytest.fixture
def script() -> Callable[..., None]:
    """`run_script`."""
    return run_script
