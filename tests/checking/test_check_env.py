"""`rllib check-env` as a user calls it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rllib_mamba.cli.main import main

FAULTLESS = "checked_envs:Faultless"

BROKEN = """
import numpy as np
from rllib_mamba.envs.symbol_game import SymbolGame

class Broken(SymbolGame):
    def step(self, action_dict):
        observations, rewards, terminateds, truncateds, infos = super().step(action_dict)
        return observations, dict.fromkeys(rewards, np.nan), terminateds, truncateds, infos
"""


@pytest.fixture
def check_env(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs the command in this process: its exit code, output and errors."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["check-env", *map(str, arguments)])
        return code, *capsys.readouterr()

    return run


def test_environment_without_faults(check_env: Callable[..., tuple[int, str, str]]):
    code, out, _ = check_env(FAULTLESS, "--episodes", 2)
    assert code == 0
    assert out.startswith(f"{FAULTLESS} (Faultless)\n  agents        3: 'ann', 'bob', 'cid'\n")
    assert "2 of random play: " in out
    verdict = "MAMBA: would train. PPO and the other algorithms of RLlib: would train. 0 errors, 0 warnings, 0 notes."
    assert out.endswith(f"{verdict}\n")


def test_faults_are_told_and_written(
    check_env: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # Modules of the current folder are found.
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "broken_by_user.py").write_text(BROKEN)
    code, out, _ = check_env("broken_by_user:Broken", "-c", "num_agents=2", "--out", tmp_path / "new" / "report.json")
    assert code == 1
    assert "ERROR [rewards_are_finite_numbers]" in out
    assert "episode 1, step 1, agent 'player_0': the reward is nan" in " ".join(out.split())
    assert "MAMBA: would not train." in out
    report = json.loads((tmp_path / "new" / "report.json").read_text())
    assert report["would_train"] == {"MAMBA": False, "RLlib": False}
    assert report["facts"]["agents"] == "2: 'player_0', 'player_1'"
    [error] = [finding for finding in report["findings"] if finding["severity"] == "error"]
    assert error["check"] == "rewards_are_finite_numbers"


@pytest.mark.parametrize("prefix", ["", "env_config."])
def test_settings_as_for_training(check_env: Callable[..., tuple[int, str, str]], prefix: str):
    code, out, _ = check_env("symbol_game", "-c", f"{prefix}num_agents=4", "-c", f'{{"{prefix}episode_length": 5}}')
    assert code == 0
    assert "4: 'player_0'" in out
    assert "5 steps, 3 terminated" in out


def test_limits(check_env: Callable[..., tuple[int, str, str]]):
    code, out, _ = check_env("symbol_game", "--steps", 5, "--episodes", 1)
    assert code == 0
    assert "1 left after 5 steps" in out
    assert "WARNING [episodes_end]" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["CartPole-v1"], "CartPole-v1 is a single-agent environment of gymnasium"),
        (["symbolgame"], "unknown environment 'symbolgame'. Did you mean symbol_game"),
        (["symbol_game", "-c", "num_agents"], "expected a JSON object or key=value"),
        (["symbol_game", "-c", "env_config=3"], "env_config needs a group of settings"),
    ],
)
def test_wrong_command_lines(check_env: Callable[..., tuple[int, str, str]], arguments: list[str], message: str):
    code, out, error = check_env(*arguments)
    assert (code, out) == (2, "")
    assert message in error


def test_wrong_settings_of_the_environment_are_findings(check_env: Callable[..., tuple[int, str, str]]):
    code, out, _ = check_env("symbol_game", "-c", "num_agent=4")
    assert code == 1
    assert "SymbolGame has no option 'num_agent'; its options are num_agents" in " ".join(out.split())
