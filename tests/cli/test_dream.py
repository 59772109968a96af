import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

PLAYERS = ["player_0", "player_1", "player_2"]
LONGER = ("-c", "env_config.episode_length=9")


def test_beliefs_of_a_checkpoint_in_numbers_and_pictures(trained: Callable, rllib: Callable, tmp_path: Path) -> None:
    out = tmp_path / "dream"
    arguments = (trained("MAMBA"), "--episodes", 3, "--seed", 5, *LONGER)
    ran = rllib("dream", *arguments, "--horizon", 4, "--context", 3, "--starts", 2, "--pictures", 1, "--out", out)
    assert (ran.code, ran.error) == (0, "")
    assert "3 episodes, 27 steps, 6 predictions" in ran.out
    assert "4 steps" in ran.out
    report = json.loads((out / "dream.json").read_text())
    assert (report["environment"], report["agents"]) == ("symbol_game", PLAYERS)
    assert set(report["errors"]) == {"observation", "reward", "continuation"}
    assert report["starts_by_horizon"] == [6, 6, 6, 6]
    np.testing.assert_allclose(np.sum(report["attention_by_layer"], -1), 1, rtol=1e-4)
    pictures = {"error_by_horizon", "attention", "observations_1", "outcomes_1"}
    assert {path.stem for path in out.iterdir()} == pictures | {"dream"}

    # The same episodes as those that are evaluated.
    assert rllib("evaluate", *arguments, "--out", tmp_path / "played.json").code == 0
    played = json.loads((tmp_path / "played.json").read_text())
    for one, other in zip(report["episodes"], played["episodes"], strict=True):
        assert {key: one[key] for key in ("seed", "length")} == {key: other[key] for key in ("seed", "length")}
        assert one["returns_by_agent"] == pytest.approx(other["returns_by_agent"])
    [drawn] = report["dreams"]
    assert (drawn["seed"], drawn["row"]) == (5, 5)
    assert np.shape(drawn["predicted"]["observation"]) == np.shape(drawn["real"]["observation"]) == (4, 3, 3)
    # The last row of the episode: all have ended.
    assert drawn["real"]["continuation"] == [[1, 1, 1]] * 3 + [[0, 0, 0]]


def test_pictures_are_replaced_only_when_told(trained: Callable, rllib: Callable, tmp_path: Path) -> None:
    out = tmp_path / "dream"
    out.mkdir()
    (out / "outcomes_7.png").touch()
    (out / "mine.txt").touch()
    arguments = ("dream", trained("MAMBA"), "--episodes", 1, "--pictures", 0, *LONGER, "--out", out)
    ran = rllib(*arguments)
    assert (ran.code, ran.error.count("\n")) == (1, 1)
    assert "not empty" in ran.error
    assert rllib(*arguments, "--overwrite").code == 0
    assert not (out / "outcomes_7.png").exists()
    assert (out / "mine.txt").exists()
    assert (out / "dream.json").is_file()


@pytest.mark.parametrize(
    ("algorithm", "arguments", "said"),
    [
        ("PPO", [], "a checkpoint of PPO, which has no world model"),
        ("MAMBA", ["--team", "tema"], "there is no team 'tema'; there is team. Did you mean team?"),
        ("MAMBA", [], "no episode is longer than the context of 5 rows (the longest has 4 steps)"),
        ("MAMBA", ["--horizon", "0"], "--horizon"),
        ("MAMBA", ["--env", "no_such_game"], "no_such_game"),
        ("MAMBA", ["-c", "env_config.episode_lenth=3"], "episode_length"),
    ],
)
def test_bad_input_is_one_clear_line(
    algorithm: str, arguments: list[str], said: str, trained: Callable, rllib: Callable, tmp_path: Path
) -> None:
    ran = rllib("dream", trained(algorithm), *arguments, "--episodes", 1, "--out", tmp_path / "out")
    assert ran.code != 0
    assert said in ran.error
    assert ran.error.count("\n") == 1
    assert not list((tmp_path / "out").glob("*"))


def test_no_checkpoint_is_named(rllib: Callable, tmp_path: Path) -> None:
    ran = rllib("dream", tmp_path)
    assert (ran.code, ran.error.count("\n")) == (1, 1)
    assert "is no RLlib checkpoint" in ran.error


def test_a_missing_package_is_named(
    trained: Callable, rllib: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    ran = rllib("dream", trained("MAMBA"), "--out", tmp_path / "out")
    assert ran.code == 2
    assert 'rllib dream needs matplotlib: pip install "rllib-mamba[reports]"' in ran.error
