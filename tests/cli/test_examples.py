import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

from rllib_mamba.cli.examples import examples_folder, find_examples

EXAMPLE = "mamba/flatland_5_agents_small"


def test_examples_are_listed_with_what_they_are(rllib: Callable) -> None:
    listed = rllib("example", "list", "-f", "flatland_5").out

    assert any(line.startswith(f"{EXAMPLE} ") and "Flatland" in line for line in listed.splitlines())
    assert rllib("example", "list", "-f", "no such thing").code == 1


def test_an_example_is_printed_as_it_is(rllib: Callable) -> None:
    printed = rllib("example", "get", EXAMPLE)

    assert printed.code == 0
    assert printed.out == (examples_folder() / f"{EXAMPLE}.py").read_text()


@pytest.mark.parametrize("name", [example.name for example in find_examples()])
def test_every_example_is_a_documented_experiment(name: str) -> None:
    [example] = [example for example in find_examples() if example.name == name]

    defined = runpy.run_path(str(example.file))

    assert example.summary
    assert isinstance(defined["config"], AlgorithmConfig)
    assert defined["stop"]


def test_an_example_is_run_with_other_settings(cluster: None, rllib: Callable, tmp_path: Path) -> None:
    # Training it takes long; that it is asked for more than there is shows that it was about to begin.
    ran = rllib("example", "run", EXAMPLE, "--num-env-runners", 50, "--local-dir", tmp_path)

    assert ran.code == 1
    assert "needs 51 CPUs, but the Ray cluster has 2" in ran.error


def test_a_wheel_holds_the_examples(tmp_path: Path) -> None:
    repository = Path(__file__).parents[2]
    build = [
        sys.executable,
        "-c",
        "from setuptools import setup; setup()",
        "-q",
        "build",
        "--build-base",
        str(tmp_path),
    ]

    ran = subprocess.run(
        [*build, "egg_info", "--egg-base", str(tmp_path)], cwd=repository, capture_output=True, text=True
    )

    assert ran.returncode == 0, ran.stderr
    built = {path.relative_to(examples_folder()).as_posix() for path in examples_folder().glob("*/*.py")}
    packaged = tmp_path / "lib" / "rllib_mamba" / "tuned_examples"
    assert {path.relative_to(packaged).as_posix() for path in packaged.glob("*/*.py")} == built
