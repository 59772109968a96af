"""`rllib check-env` as a user calls it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BROKEN = """
import numpy as np
from rllib_mamba.envs.symbol_game import SymbolGame

class Broken(SymbolGame):
    def step(self, action_dict):
        observations, rewards, terminateds, truncateds, infos = super().step(action_dict)
        return observations, dict.fromkeys(rewards, np.nan), terminateds, truncateds, infos
"""


def test_environment_without_faults(rllib: Callable[..., Any]):
    ran = rllib("check-env", "symbol_game", "--episodes", 2)
    assert ran.code == 0
    assert ran.out.startswith("symbol_game (SymbolGame)\n  agents        3: 'player_0', 'player_1', 'player_2'\n")
    assert "  observations  Box (3,) of float32\n  actions       Discrete(3)\n" in ran.out
    assert "2 of random play: 12 steps, 2 terminated" in ran.out
    # Its episodes are always over after the same number of steps.
    assert "NOTE [time_limits_are_no_terminations]" in ran.out
    verdict = "MAMBA, MAPPO and QMIX: would train. PPO and the other algorithms of RLlib: would train. "
    assert ran.out.endswith(f"{verdict}0 errors, 0 warnings, 1 note.\n")


def test_faults_are_told_and_written(rllib: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # Modules of the current folder are found.
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "broken_by_user.py").write_text(BROKEN)
    ran = rllib("check-env", "broken_by_user:Broken", "-c", "num_agents=2", "--out", tmp_path / "new" / "report.json")
    assert ran.code == 1
    assert "ERROR [rewards_are_finite_numbers]" in ran.out
    assert "episode 1, step 1, agent 'player_0': the reward is nan" in " ".join(ran.out.split())
    assert "MAMBA, MAPPO and QMIX: would not train." in ran.out
    report = json.loads((tmp_path / "new" / "report.json").read_text())
    assert report["would_train"] == {"teams": False, "rllib": False}
    assert report["facts"]["agents"] == "2: 'player_0', 'player_1'"
    [error] = [finding for finding in report["findings"] if finding["severity"] == "error"]
    assert error["check"] == "rewards_are_finite_numbers"


@pytest.mark.parametrize("prefix", ["", "env_config."])
def test_settings_as_for_training(rllib: Callable[..., Any], prefix: str):
    ran = rllib("check-env", "symbol_game", "-c", f"{prefix}num_agents=4", "-c", f'{{"{prefix}episode_length": 5}}')
    assert ran.code == 0
    assert "4: 'player_0'" in ran.out
    assert "5 steps, 3 terminated" in ran.out


def test_limits(rllib: Callable[..., Any]):
    ran = rllib("check-env", "symbol_game", "--steps", 5, "--episodes", 1)
    assert ran.code == 0
    assert "1 left after 5 steps" in ran.out
    assert "WARNING [episodes_end]" in ran.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["CartPole-v1"], "CartPole-v1 is a single-agent environment of gymnasium"),
        (["symbolgame"], "unknown environment 'symbolgame'. Did you mean symbol_game"),
        (["symbol_game", "-c", "num_agents"], "expected a JSON object or key=value"),
        (["symbol_game", "-c", "env_config=3"], "env_config needs a group of settings"),
    ],
)
def test_wrong_command_lines(rllib: Callable[..., Any], arguments: list[str], message: str):
    ran = rllib("check-env", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.error


def test_wrong_settings_of_the_environment_are_findings(rllib: Callable[..., Any]):
    ran = rllib("check-env", "symbol_game", "-c", "num_agent=4")
    assert ran.code == 1
    assert "SymbolGame has no option 'num_agent'; its options are num_agents" in " ".join(ran.out.split())


def test_every_option_is_offered(rllib: Callable[..., Any], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "200")
    text = rllib("check-env", "--help").out
    assert [option for option in ("--config", "--episodes", "--steps", "--seed", "--out") if option not in text] == []
    assert "[default: 3]" in text
