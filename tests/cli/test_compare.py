import csv
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PNG_BEGIN = b"\x89PNG"


@pytest.fixture
def two_seeds(trained: Callable, tmp_path: Path) -> Path:
    """Two runs of MAMBA, the second with results and a seed of its own."""
    run = trained("MAMBA").parent
    for index in range(2):
        folder = tmp_path / "mamba" / f"run{index}"
        folder.mkdir(parents=True)
        rows = [json.loads(line) for line in (run / "result.json").read_text().splitlines()]
        for row in rows:
            row["config"]["seed"] = index
            row["env_runners"]["episode_return_mean"] += index
        (folder / "result.json").write_text("\n".join(map(json.dumps, rows)) + "\n")
    return tmp_path / "mamba"


def test_results_become_one_report(two_seeds: Path, trained: Callable, rllib: Callable, tmp_path: Path) -> None:
    out = tmp_path / "report"
    ppo = trained("PPO").parent
    ran = rllib("compare", two_seeds, f"my PPO={ppo}", "--out", out, "--resamples", "200")
    assert ran.code == 0, ran.error
    numbers = json.loads((out / "comparison.json").read_text())
    assert set(numbers["environments"]) == {"CartPole-v1", "symbol_game"}
    group = numbers["environments"]["symbol_game"]["groups"]["MAMBA"]
    assert [run["seed"] for run in group["runs"]] == [0, 1]
    assert group["final_iqm"]["low"] < group["final_iqm"]["point"] < group["final_iqm"]["high"]
    [alone] = numbers["environments"]["CartPole-v1"]["groups"].items()
    assert alone[0] == "my PPO"
    assert alone[1]["final_iqm"]["low"] is None
    report = (out / "report.md").read_text()
    for text in ("one seed: no interval", "seeds 0, 1", "preset debug", "rllib compare", "episode_length", str(ppo)):
        assert text in report
    assert "Only my PPO has results on CartPole-v1: it is compared with nothing there." in report
    pictures = sorted(out.glob("*.png"))
    assert len(pictures) == 4
    for picture in pictures:
        assert picture.read_bytes().startswith(PNG_BEGIN)
        assert "<svg" in picture.with_suffix(".svg").read_text()
        assert picture.name in report
    assert "2 seeds" in (out / "learning_curves_2.svg").read_text()
    with (out / "runs.csv").open() as stream:
        assert [row["name"] for row in csv.DictReader(stream)] == ["my PPO", "MAMBA", "MAMBA"]


def test_an_earlier_report_is_replaced_only_when_told(two_seeds: Path, rllib: Callable, tmp_path: Path) -> None:
    out = tmp_path / "report"
    out.mkdir()
    (out / "learning_curves_9.png").touch()
    (out / "mine.txt").touch()
    ran = rllib("compare", two_seeds, "--out", out, "--resamples", "100")
    assert (ran.code, ran.error.count("\n")) == (1, 1)
    assert "not empty" in ran.error
    assert rllib("compare", two_seeds, "--out", out, "--overwrite", "--resamples", "100").code == 0
    assert not (out / "learning_curves_9.png").exists()
    assert (out / "mine.txt").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{empty}"], "has no results"),
        (["{empty}/nothing"], "there is no results folder"),
        (["{runs}", "{runs}/run0"], "given twice"),
        (["{runs}", "--metric", "episode_retrun_mean"], "It has episode_return_mean"),
        (["{runs}", "--reference", "QMIX"], "--reference QMIX is none"),
        (["{runs}", "--statistic", "median"], "none of iqm, mean"),
        ([], "Missing argument"),
    ],
)
def test_bad_input_is_one_clear_line(
    arguments: list[str], said: str, two_seeds: Path, rllib: Callable, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    ran = rllib("compare", *(text.format(empty=empty, runs=two_seeds) for text in arguments), "--out", tmp_path / "out")
    assert ran.code != 0
    assert said in ran.error
    assert ran.error.count("\n") == 1
    assert not list((tmp_path / "out").glob("*"))


def test_a_copied_run_is_no_second_seed(two_seeds: Path, rllib: Callable, tmp_path: Path) -> None:
    shutil.copytree(two_seeds / "run0", two_seeds / "run2")
    ran = rllib("compare", two_seeds, "--out", tmp_path / "out")
    assert ran.code == 1
    assert "the same run" in ran.error


def test_a_missing_package_is_named(
    two_seeds: Path, rllib: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rliable", None)
    ran = rllib("compare", two_seeds, "--out", tmp_path / "out")
    assert ran.code == 2
    assert 'rllib compare needs rliable: pip install "rllib-mamba[reports]"' in ran.error
