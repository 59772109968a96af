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
RUNS = ("symbol_game", "annealed", "two_teams")


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
