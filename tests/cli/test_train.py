import csv
import json
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from ray import tune

from rllib_mamba import registry
from rllib_mamba.cli.checkpoint import read_checkpoint

TINY = ["-c", "train_batch_size_per_learner=128", "-c", "minibatch_size=64", "-c", "num_epochs=1"]
PPO = ["train", "--algo", "PPO", "--env", "CartPole-v1", "--num-env-runners", "0", *TINY]
MAMBA = ["train", "--algo", "MAMBA", "--env", "symbol_game", "--preset", "debug", "-c", "env_config.episode_length=4"]


def results(folder: Path) -> list[dict[str, Any]]:
    [file] = folder.glob("*/result.json")
    # The last line may be half written while a trial runs.
    return [json.loads(line) for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")]


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=250)


def test_training_leaves_results_and_a_line_that_evaluates_them(command: list[str], tmp_path: Path) -> None:
    arguments = [*MAMBA, "--stop-iters", "2", "--local-dir", str(tmp_path / "my results"), "--seed", "3"]

    trained = run([*command, *arguments], tmp_path)

    assert trained.returncode == 0, trained.stderr
    assert trained.stderr == ""
    lines = trained.stdout.splitlines()
    assert lines[0].startswith("Training MAMBA on symbol_game.")
    assert lines[0].endswith("Stops at training_iteration >= 2.")
    progress = [line for line in lines if line.startswith("iteration ")]
    assert progress[0].startswith("iteration 1 | 100 env steps")
    assert progress[-1].startswith("iteration 2 | 200 env steps")
    assert "return" in progress[-1]
    trial = tmp_path / "my results" / "default"
    assert [result["training_iteration"] for result in results(trial)] == [1, 2]
    [table] = trial.glob("*/progress.csv")
    assert len(list(csv.DictReader(table.open()))) == 2
    assert list(trial.glob("*/events.out.tfevents*"))
    # Nobody else computes: the learner has both processors' threads.
    [parameters] = trial.glob("*/params.json")
    assert json.loads(parameters.read_text())["num_cpus_for_main_process"] == min(os.cpu_count() or 1, 8)

    [checkpoint] = trial.glob("*/checkpoint_*")
    # Tune leaves a copy of the class there.
    assert read_checkpoint(checkpoint).algorithm is registry.get_algorithm_class("MAMBA")
    [line] = [line.split(maxsplit=1)[1] for line in lines if line.strip().startswith("evaluate ")]
    words = shlex.split(line)
    assert words[0] == "rllib"
    evaluated = run([*command, *words[1:]], tmp_path)

    assert evaluated.returncode == 0, evaluated.stderr
    assert evaluated.stdout.startswith("MAMBA on symbol_game: 10 episodes, greedy, seeds 0 to 9")


def test_an_interrupted_experiment_is_saved_and_goes_on(
    command: list[str], cluster: None, rllib: Callable, press_ctrl_c_after: Callable, tmp_path: Path
) -> None:
    arguments = [*PPO, "--stop-iters", "100000", "--local-dir", str(tmp_path), "--checkpoint-freq", "0"]
    process = subprocess.Popen([*command, *arguments], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("iteration "):
            break
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)

    assert process.returncode == 130
    assert re.search(r"checkpoint  .*checkpoint_000000 \(last\)", output)
    assert "--experiment-name default" in output
    assert output.rstrip().endswith("--resume")
    done = results(tmp_path / "default")[-1]["training_iteration"]

    # It goes on with its own criteria, so it has to be interrupted again to end.
    press_ctrl_c_after(0, 1)
    resumed = rllib("train", "--algo", "PPO", "--local-dir", tmp_path, "--resume")

    assert "Resuming the experiment" in resumed.out
    iterations = [result["training_iteration"] for result in results(tmp_path / "default")]
    assert iterations == list(range(1, done + 3))


def test_restore_begins_with_the_counters_of_the_checkpoint(trained: Callable, rllib: Callable, tmp_path: Path) -> None:
    where = ["--local-dir", tmp_path, "--stop-iters", "3", "--local-mode"]
    # All in one process: nothing acts during updates, whatever the configuration says.
    continued = rllib(*MAMBA, *where, "--config", "overlap_acting=true", "--restore", trained("MAMBA"))

    assert continued.code == 0, continued.error
    [only] = results(tmp_path / "default")
    assert only["training_iteration"] == 3
    assert only["num_env_steps_sampled_lifetime"] == 300
    # The steps of this iteration came on top of those that the checkpoint holds.
    assert only["replay_buffer"]["team"]["num_env_steps"] > 300


def test_restore_through_tune(trained: Callable, rllib: Callable, tmp_path: Path) -> None:
    ran = rllib(*PPO, "--local-dir", tmp_path, "--stop-iters", "3", "--restore", trained("PPO"))

    assert ran.code == 0, ran.error
    [only] = results(tmp_path / "default")
    assert (only["training_iteration"], only["num_env_steps_sampled_lifetime"]) == (3, 3 * 128)


def test_repeats_of_a_file_have_seeds_in_a_row(cluster: None, rllib: Callable, tmp_path: Path) -> None:
    file = tmp_path / "cartpole.py"
    file.write_text(
        "from ray.rllib.algorithms.ppo import PPOConfig\n"
        "config = PPOConfig().environment('CartPole-v1').env_runners(num_env_runners=0)\n"
        "config.training(train_batch_size_per_learner=128, minibatch_size=64, num_epochs=1)\n"
        "stop = {'num_env_steps_sampled_lifetime': 130}\n"
    )

    ran = rllib("train", "file", file, "--num-samples", 2, "--seed", 8, "--local-dir", tmp_path, "-n", "seeds")

    assert ran.code == 0, ran.error
    parameters = [json.loads(path.read_text()) for path in (tmp_path / "seeds").glob("*/params.json")]
    assert sorted(parameter["seed"] for parameter in parameters) == [8, 9]
    for path in (tmp_path / "seeds").glob("*/result.json"):
        assert len(path.read_text().splitlines()) == 2
    assert ran.out.count("rllib evaluate") == 2


def test_a_test_that_is_not_passed_fails(cluster: None, rllib: Callable, tmp_path: Path) -> None:
    arguments = [*PPO, "--local-dir", tmp_path, "--no-tune", "--stop-iters", "1", "--as-test"]

    assert rllib(*arguments, "--stop-reward", 5).code == 0
    failed = rllib(*arguments, "--stop-reward", 400)

    assert failed.code == 1
    assert "episode_return_mean is" in failed.error
    assert "below the 400" in failed.error


@pytest.mark.parametrize("mode", [["--no-tune"], []], ids=["here", "tune"])
def test_a_failed_trial_is_one_line(mode: list[str], cluster: None, rllib: Callable, tmp_path: Path) -> None:
    # Made here, so that it can be sent to processes that cannot import this file.
    class Crashing(gym.Wrapper):
        def __init__(self, config: dict[str, Any]) -> None:
            super().__init__(gym.make("CartPole-v1"))

        def step(self, action: Any) -> Any:
            raise OSError("the sensor does not answer")

    tune.register_env("crashing", Crashing)
    arguments = ["train", "--algo", "PPO", "--env", "crashing", "--num-env-runners", "0", *TINY]

    ran = rllib(*arguments, "--stop-iters", "1", "--local-dir", tmp_path, *mode)

    assert ran.code == 1
    assert ran.error == "rllib: 1 of 1 trials failed: OSError: the sensor does not answer\n"
    assert "Traceback" not in ran.out


def test_checkpoints_are_written_and_kept_as_asked(cluster: None, rllib: Callable, tmp_path: Path) -> None:
    arguments = [*PPO, "--local-dir", tmp_path, "--no-tune", "--stop-iters", "4"]

    ran = rllib(*arguments, "--checkpoint-freq", "1", "--keep-checkpoints-num", "2")
    none = rllib(*arguments, "--checkpoint-freq", "0", "--no-checkpoint-at-end", "-n", "none")

    assert [path.name for path in sorted(tmp_path.glob("default/*/checkpoint_*"))] == [
        "checkpoint_000002",
        "checkpoint_000003",
    ]
    assert "checkpoint_000003 (last)" in ran.out
    assert not list(tmp_path.glob("none/*/checkpoint_*"))
    assert "checkpoint  none was written" in none.out


def test_the_best_checkpoint_is_kept_and_named(cluster: None, rllib: Callable, tmp_path: Path) -> None:
    arguments = [*PPO, "--local-dir", tmp_path, "--no-tune", "--stop-iters", "4", "--checkpoint-freq", "1"]

    ran = rllib(*arguments, "--keep-checkpoints-num", "1", "--checkpoint-score-attr", "min-training_iteration")

    assert "checkpoint_000000 (best)" in ran.out
    # The newest stays beside the best, for a run that goes on from it.
    assert {path.name for path in tmp_path.glob("default/*/checkpoint_*")} >= {"checkpoint_000000"}


def test_default_env_runners_shrink_to_the_machine(cluster: None, rllib: Callable, tmp_path: Path) -> None:
    arguments = ["train", "--algo", "PPO", "--env", "CartPole-v1", *TINY, "--local-dir", tmp_path, "--stop-iters", "1"]

    ran = rllib(*arguments)

    assert ran.code == 0, ran.error
    assert "2 env runners, the default, need more than the 2 CPUs there are: using 1." in ran.out


def test_agents_of_an_environment_share_a_module_where_nothing_else_is_said(
    cluster: None, rllib: Callable, tmp_path: Path
) -> None:
    arguments = ["train", "--algo", "PPO", "--env", "rllib_mamba.envs.symbol_game:SymbolGame", *TINY]

    ran = rllib(*arguments, "--num-env-runners", 0, "--no-tune", "--local-dir", tmp_path, "--stop-iters", "1")

    assert ran.code == 0, ran.error
    assert "share one module, shared_policy" in ran.out
    [checkpoint] = tmp_path.glob("default/*/checkpoint_000000")
    evaluated = rllib("evaluate", checkpoint, "--episodes", 1)
    assert evaluated.code == 0, evaluated.error
    assert evaluated.out.startswith("PPO on rllib_mamba.envs.symbol_game:SymbolGame")
