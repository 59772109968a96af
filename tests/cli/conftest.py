import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import ray
import torch

from rllib_mamba.cli.main import main
from rllib_mamba.cli.tune_progress import TuneProgress

CPUS = 2
PPO = ["--algo", "PPO", "--env", "CartPole-v1", "--num-env-runners", "0"]
TINY_PPO = [*PPO, "-c", "train_batch_size_per_learner=128", "-c", "minibatch_size=64", "-c", "num_epochs=1"]
TINY_MAMBA = ["--algo", "MAMBA", "--env", "symbol_game", "--preset", "debug", "-c", "env_config.episode_length=4"]


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    error: str


@pytest.fixture(autouse=True)
def process_as_before() -> Iterator[None]:
    """Undoes what the command sets for its process: log levels, environment variables, threads."""
    loggers = [logging.getLogger(name) for name in ("", "ray", "ray.tune", "ray.rllib", "rllib_mamba")]
    levels, threads, variables = [logger.level for logger in loggers], torch.get_num_threads(), dict(os.environ)
    # The networks of these tests are too small to share.
    torch.set_num_threads(1)
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    torch.set_num_threads(threads)
    for name in set(os.environ) - set(variables):
        del os.environ[name]
    os.environ.update(variables)


@pytest.fixture
def cluster() -> None:
    """A cluster with two CPUs, the one that is there if it is such a one."""
    if ray.is_initialized() and ray.cluster_resources().get("CPU") != CPUS:
        ray.shutdown()
    if not ray.is_initialized():
        ray.init(address="local", num_cpus=CPUS, num_gpus=0, include_dashboard=False, log_to_driver=False)


@pytest.fixture
def rllib(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs the command in this process."""

    def run(*arguments: object) -> Ran:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run


@pytest.fixture
def press_ctrl_c_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Presses Ctrl-C once in an experiment of this process, when a trial has told of so many results.

    The trial is given by how many have begun to tell of results before it.
    """
    original = TuneProgress.on_trial_result

    def prepare(trial_number: int, results: int) -> None:
        told: dict[str, int] = {}

        def on_trial_result(self: TuneProgress, iteration: int, trials: list[Any], trial: Any, *args: Any, **info: Any):
            original(self, iteration, trials, trial, *args, **info)
            told[trial.trial_id] = told.get(trial.trial_id, 0) + 1
            if list(told).index(trial.trial_id) == trial_number and told[trial.trial_id] == results:
                signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(TuneProgress, "on_trial_result", on_trial_result)

    return prepare


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the checkpoint of a short run of PPO or MAMBA, trained in this process when it is first asked for."""
    checkpoints: dict[str, Path] = {}

    def train(algorithm: str) -> Path:
        if algorithm not in checkpoints:
            results = tmp_path_factory.mktemp(algorithm)
            arguments = {"PPO": TINY_PPO, "MAMBA": TINY_MAMBA}[algorithm]
            stop = ["--stop-iters", "2", "--seed", "1", "--local-mode", "--local-dir", str(results)]
            stop += [] if ray.is_initialized() else ["--ray-num-cpus", str(CPUS)]
            assert main(["train", *arguments, *stop]) == 0
            [checkpoints[algorithm]] = results.glob("default/*/checkpoint_000000")
        return checkpoints[algorithm]

    return train


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command as a user starts it, in a process of its own."""
    # RLlib says on stderr that this is set, as it may be in tests.
    monkeypatch.delenv("RLLIB_TEST_NO_JAX_IMPORT", raising=False)
    return [sys.executable, "-m", "rllib_mamba.cli.main"]
