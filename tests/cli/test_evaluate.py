import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from ray.rllib.core.rl_module.rl_module import RLModule

from rllib_mamba import MAMBA, MAMBAPolicy
from rllib_mamba.cli.statistics import bootstrap_mean


def report(rllib: Callable, out: Path, *arguments: object) -> dict[str, Any]:
    ran = rllib("evaluate", *arguments, "--out", out)
    assert ran.code == 0, ran.error
    assert "95 % interval" in ran.out
    return json.loads(out.read_text())


def test_greedy_episodes_are_those_of_the_module_in_the_checkpoint(
    trained: Callable, rllib: Callable, tmp_path: Path
) -> None:
    checkpoint = trained("PPO")
    module = RLModule.from_checkpoint(str(checkpoint / "learner_group/learner/rl_module/default_policy"))
    lengths = []
    for seed in (5, 6, 7):
        environment = gym.make("CartPole-v1")
        observation, _ = environment.reset(seed=seed)
        over, length = False, 0
        while not over:
            batch = {"obs": torch.from_numpy(observation[None])}
            with torch.no_grad():
                action = int(module.forward_inference(batch)["action_dist_inputs"].argmax())
            observation, _, terminated, truncated, _ = environment.step(action)
            over, length = terminated or truncated, length + 1
        lengths.append(length)

    result = report(rllib, tmp_path / "out.json", checkpoint, "--episodes", 3, "--seed", 5)

    assert [episode["length"] for episode in result["episodes"]] == lengths
    assert [episode["return"] for episode in result["episodes"]] == lengths
    assert [episode["seed"] for episode in result["episodes"]] == [5, 6, 7]
    assert result["summary"]["return"]["mean"] == pytest.approx(np.mean(lengths))


def test_samples_differ_from_greedy_actions_and_follow_the_seed(
    trained: Callable, rllib: Callable, tmp_path: Path
) -> None:
    def lengths(*more: object) -> list[int]:
        result = report(rllib, tmp_path / "out.json", trained("PPO"), "--episodes", 4, *more)
        return [episode["length"] for episode in result["episodes"]]

    assert lengths("--sample") == lengths("--sample")
    assert lengths("--sample") != lengths("--greedy")


def test_processes_side_by_side_give_the_same_episodes(trained: Callable, rllib: Callable, tmp_path: Path) -> None:
    arguments = (trained("PPO"), "--steps", 60, "--sample")

    alone = report(rllib, tmp_path / "alone.json", *arguments)
    two = report(rllib, tmp_path / "two.json", *arguments, "--num-env-runners", 2)

    assert alone == two
    lengths = [episode["length"] for episode in alone["episodes"]]
    assert sum(lengths) >= 60
    assert sum(lengths[:-1]) < 60


def test_teams_report_by_agent_and_count_as_in_training(trained: Callable, rllib: Callable, tmp_path: Path) -> None:
    result = report(rllib, tmp_path / "out.json", trained("MAMBA"), "--episodes", 3)

    assert (result["algorithm"], result["environment"]) == ("MAMBA", "symbol_game")
    for episode in result["episodes"]:
        assert set(episode["returns_by_agent"]) == {"player_0", "player_1", "player_2"}
        assert episode["return"] == pytest.approx(np.mean(list(episode["returns_by_agent"].values())))
        assert episode["length"] == 4


def test_settings_of_the_environment_can_be_changed(trained: Callable, rllib: Callable, tmp_path: Path) -> None:
    out = tmp_path / "out.json"

    result = report(rllib, out, trained("MAMBA"), "--episodes", 1, "-c", "env_config.episode_length=9")

    assert result["summary"]["length"]["mean"] == 9


def test_needs_no_cluster(trained: Callable, command: list[str], tmp_path: Path) -> None:
    program = (
        "import ray, sys; ray.init = lambda *a, **k: sys.exit('a cluster was started')\n"
        "from rllib_mamba.cli.main import main\n"
        f"code = main(['evaluate', {str(trained('MAMBA'))!r}, '--episodes', '1'])\n"
        "assert not ray.is_initialized()\n"
        "sys.exit(code)"
    )

    ran = subprocess.run([command[0], "-c", program], capture_output=True, text=True, timeout=200, cwd=tmp_path)

    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    assert ran.stdout.startswith("MAMBA on symbol_game: 1 episode, greedy, seed 0\n")


def test_videos(trained: Callable, rllib: Callable, tmp_path: Path) -> None:
    imageio = pytest.importorskip("imageio.v3")
    result = report(
        rllib, tmp_path / "out.json", trained("PPO"), "--episodes", 1, "--seed", 3, "--video-dir", tmp_path / "videos"
    )

    [video] = (tmp_path / "videos").iterdir()
    assert video.name.startswith("seed_000003.")
    frames = imageio.imread(video)
    # One picture of every state: of the first and after every step.
    assert abs(len(frames) - (result["episodes"][0]["length"] + 1)) <= 1
    assert frames.std() > 0
    # As fast as the environment says.
    assert imageio.immeta(video)["fps"] == gym.make("CartPole-v1").metadata["render_fps"]


def test_bootstrap_interval_covers_the_mean_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    covered = 0
    for repeat in range(100):
        interval = bootstrap_mean(random.normal(3.0, 2.0, size=40).tolist(), seed=repeat)
        covered += interval["low"] <= 3.0 <= interval["high"]

    assert 86 <= covered <= 100
    assert bootstrap_mean([2.0, 2.0]) == {"mean": 2.0, "low": 2.0, "high": 2.0}


def test_the_policy_of_a_team_plays_as_its_module_does(
    trained: Callable, rllib: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = (trained("MAMBA"), "--episodes", 4, "-c", "env_config.episode_length=12")
    monkeypatch.setattr(MAMBA, "policy_class", None, raising=False)
    module = report(rllib, tmp_path / "module.json", *arguments)
    monkeypatch.setattr(MAMBA, "policy_class", MAMBAPolicy, raising=False)
    policy = report(rllib, tmp_path / "policy.json", *arguments)

    assert policy == module
