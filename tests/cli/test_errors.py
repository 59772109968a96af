"""Bad input: one clear line on stderr, an exit code that is not 0, and nothing started."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import ray

PPO = ["train", "--algo", "PPO", "--env", "CartPole-v1"]

USAGE = [
    (["train", "--env", "CartPole-v1"], "--algo is missing"),
    (["train", "--algo", "PPOO", "--env", "CartPole-v1"], "Unknown algorithm 'PPOO'. Did you mean 'PPO'"),
    (["train", "--algo", "PPO"], "--env is missing"),
    (["train", "--algo", "PPO", "--env", "CartPol-v1"], "Did you mean CartPole-v1"),
    (["train", "--algo", "MAMBA", "--env", "flatland_6_agents"], "flatland_5_agents"),
    (
        ["train", "--algo", "MAMBA", "--env", "CartPole-v1"],
        "a single-agent environment of gymnasium; MAMBA trains teams",
    ),
    ([*PPO, "--config", "learning_rate=1"], "PPOConfig has no setting 'learning_rate'"),
    ([*PPO, "--config", "gamma=3", "--config", "nonsense"], "expected a JSON object or key=value"),
    ([*PPO, "--preset", "small"], "PPO has no presets"),
    ([*PPO, "--stop", '{"training_iteration": "x"}'], "needs a number"),
    ([*PPO, "--stop", "5"], "expected a JSON object"),
    ([*PPO, "--stop-iters", "many"], "--stop-iters"),
    ([*PPO, "--stop-iter", "1"], "--stop-iters"),
    ([*PPO, "--as-test"], "--as-test needs --stop-reward"),
    ([*PPO, "--scheduler", "hyperbend"], "Did you mean hyperband"),
    ([*PPO, "--scheduler-config", "{}"], "--scheduler-config needs --scheduler"),
    ([*PPO, "--wandb-project", "mine"], "pip install wandb"),
    ([*PPO, "--mlflow-uri", "somewhere"], "pip install mlflow"),
    ([*PPO, "--resume", "--restore", "x"], "choose one"),
    ([*PPO, "--no-tune", "--resume"], "--resume needs Tune"),
    ([*PPO, "--ray-address", "auto", "--ray-num-cpus", "2"], "--ray-address"),
    (["train", "--stop-iters", "1", "file", "x.py"], "put --stop-iters after `file FILE`"),
    (["train", "file", "missing.py"], "there is no file missing.py"),
    (["evaluate", "x", "--episodes", "1", "--steps", "1"], "choose one"),
    (["example", "get", "mamba/no_such_example"], "there is no example 'mamba/no_such_example'"),
    (["trian"], "trian"),
]


@pytest.mark.parametrize(("arguments", "message"), USAGE, ids=[" ".join(arguments) for arguments, _ in USAGE])
def test_wrong_usage(arguments: list[str], message: str, rllib: Callable, tmp_path: Path) -> None:
    where = ["--local-dir", tmp_path] if arguments[0] == "train" and "file" not in arguments else []
    ran = rllib(*arguments, *where)

    assert ran.code == 2
    assert message in ran.error
    assert len(ran.error.splitlines()) == 1
    assert ran.error.startswith("rllib: ")
    assert not list(tmp_path.glob("*/*"))


def test_settings_that_the_algorithm_refuses(rllib: Callable, tmp_path: Path) -> None:
    ran = rllib(*PPO, "-c", "minibatch_size=1000", "-c", "train_batch_size_per_learner=10", "--local-dir", tmp_path)

    assert ran.code == 2
    assert "minibatch_size" in ran.error


def test_a_results_folder_that_cannot_be_written(rllib: Callable, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    ran = rllib(*PPO, "--local-dir", tmp_path / "file")

    assert ran.code == 1
    assert f"{tmp_path}/file/default cannot be written" in ran.error


def test_an_environment_of_several_agents_is_asked_for_by_teams(rllib: Callable, tmp_path: Path) -> None:
    module = tmp_path / "single_agent_game.py"
    module.write_text("import gymnasium as gym\n\ndef make(config):\n    return gym.make('CartPole-v1')\n")

    ran = rllib("train", "--algo", "MAMBA", "--env", "single_agent_game:mak", "--local-dir", tmp_path)

    assert ran.code == 2
    assert "single_agent_game" in ran.error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--num-env-runners", "7"], "needs 8 CPUs, but the Ray cluster has 2"),
        (["--num-env-runners", "0", "--num-gpus-per-learner", "1"], "needs 1 GPUs, but the Ray cluster has 0"),
    ],
)
def test_more_than_the_cluster_has_is_no_silent_wait(
    arguments: list[str], message: str, cluster: None, rllib: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No process is asked for before the error.
    monkeypatch.setattr("ray.actor.ActorClass._remote", None)

    ran = rllib(*PPO, *arguments, "--stop-iters", "1", "--local-dir", tmp_path)

    assert ran.code == 1
    assert message in ran.error


def test_nothing_to_resume(rllib: Callable, tmp_path: Path) -> None:
    ran = rllib(*PPO, "--resume", "--local-dir", tmp_path)

    assert ran.code == 2
    assert f"no interrupted experiment in {tmp_path}/default" in ran.error


def test_checkpoints_that_cannot_be_used(trained: Callable, rllib: Callable, tmp_path: Path) -> None:
    checkpoint = trained("PPO")
    damaged = tmp_path / "damaged"
    shutil.copytree(checkpoint, damaged)
    weights = next((damaged / "learner_group/learner/rl_module/default_policy").glob("module_state*"))
    weights.write_bytes(weights.read_bytes()[:100])
    cut = tmp_path / "cut"
    shutil.copytree(checkpoint, cut)
    (cut / "class_and_ctor_args.pkl").write_bytes((cut / "class_and_ctor_args.pkl").read_bytes()[:100])
    (tmp_path / "empty").mkdir()

    for path, message in {
        tmp_path / "nowhere": f"there is no checkpoint directory {tmp_path}/nowhere",
        tmp_path / "empty": "is no RLlib checkpoint",
        checkpoint.parent: f"Did you mean {checkpoint}?",
        cut: "is damaged: class_and_ctor_args.pkl cannot be read",
        damaged: "is damaged: its modules cannot be read",
    }.items():
        ran = rllib("evaluate", path, "--episodes", "1")
        assert ran.code == 1
        assert message in ran.error
        assert len(ran.error.splitlines()) == 1


def test_a_checkpoint_that_needs_a_missing_module(rllib: Callable, tmp_path: Path) -> None:
    # A pickle that refers to a class of a module that is not there.
    (tmp_path / "class_and_ctor_args.pkl").write_bytes(b"cmodule_of_mine\nMyAlgorithm\n.")

    ran = rllib("evaluate", tmp_path)

    assert ran.code == 1
    assert "needs the Python module 'module_of_mine'" in ran.error


def test_a_checkpoint_of_another_algorithm_or_environment(trained: Callable, rllib: Callable, tmp_path: Path) -> None:
    for arguments, message in (
        ([trained("PPO"), "--algo", "DQN"], "is a checkpoint of PPO, not DQN"),
        ([trained("PPO"), "--env", "Acrobot-v1"], "does not fit this environment"),
        ([trained("PPO"), "--env", "symbol_game"], "does not fit this environment"),
        ([trained("MAMBA"), "-c", "env_config.num_agents=5"], "does not fit this environment"),
        ([trained("MAMBA"), "-c", "env_config.num_symbols=4"], "does not fit this environment"),
        ([trained("MAMBA"), "-c", "env_config.number=4"], "number"),
    ):
        ran = rllib("evaluate", *arguments, "--episodes", "1")
        assert ran.code != 0
        assert message in ran.error
    ran = rllib("train", "--algo", "DQN", "--env", "CartPole-v1", "--restore", trained("PPO"), "--local-dir", tmp_path)
    assert ran.code == 2
    assert "is a checkpoint of PPO, not of DQN" in ran.error


def test_videos_of_what_draws_nothing(trained: Callable, rllib: Callable, tmp_path: Path) -> None:
    ran = rllib("evaluate", trained("MAMBA"), "--episodes", "1", "--video-dir", tmp_path)

    assert ran.code == 1
    assert "render()" in ran.error


def test_a_traceback_only_when_asked_for(rllib: Callable, tmp_path: Path) -> None:
    assert "Traceback" not in rllib("evaluate", tmp_path / "nowhere", "-v").error
    assert "Traceback" in rllib("evaluate", tmp_path / "nowhere", "-vv").error


def test_names_survive_a_cluster_that_was_shut_down(trained: Callable, rllib: Callable) -> None:
    checkpoint = trained("PPO")
    ray.shutdown()
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    ray.shutdown()
    assert "does not fit this environment" in rllib("evaluate", checkpoint, "--env", "symbol_game").error
