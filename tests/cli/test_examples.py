import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rllib_mamba.cli.examples import examples_folder

EXAMPLE = "mamba/flatland_5_agents_small"


def test_examples_are_listed_with_what_they_are(rllib: Callable) -> None:
    listed = rllib("example", "list", "-f", "flatland_5").out

    [line] = [line for line in listed.splitlines() if line.startswith(f"{EXAMPLE} ")]
    assert "100,000 env steps" in line
    assert "MAMBA on Flatland with five trains" in line
    assert rllib("example", "list", "-f", "no such thing").code == 1


def test_an_example_is_printed_as_it_is(rllib: Callable) -> None:
    printed = rllib("example", "get", EXAMPLE)

    assert printed.code == 0
    assert printed.out == (examples_folder() / f"{EXAMPLE}.py").read_text()


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Makes the examples a folder of one, with the given text."""

    def example(text: str) -> Path:
        file = tmp_path / "examples" / "mamba" / "game.py"
        file.parent.mkdir(parents=True)
        file.write_text(text)
        monkeypatch.setattr("rllib_mamba.cli.examples.examples_folder", lambda: tmp_path / "examples")
        return file

    return example


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('"""A game."""\n\nconfig = MAMBAConfig()\n', ", line 3: NameError: name 'MAMBAConfig' is not defined"),
        ('"""A game."""\n\nconfig = (\n', ", line 3: SyntaxError: '(' was never closed"),
        ('"""A game."""\n\nstop = {}\n', " does not define `config`"),
    ],
)
def test_a_broken_example_names_the_file_and_the_line(text: str, where: str, broken: Callable, rllib: Callable) -> None:
    file = broken(text)

    listed, ran = rllib("example", "list"), rllib("example", "run", "mamba/game")

    assert listed.code == 0
    assert "mamba/game" in listed.out
    assert ("broken" in listed.out) == ("SyntaxError" in where)
    assert ran.code in (1, 2)
    assert f"{file}{where}" in ran.error
    assert len(ran.error.splitlines()) == 1


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
