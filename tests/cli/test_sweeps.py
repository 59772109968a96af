"""Sweeps as a user starts, interrupts and reads them."""

import enum
import json
import shlex
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, HyperBandScheduler, TrialScheduler

from rllib_mamba.cli.cluster import describe_trials
from rllib_mamba.cli.outcome import TrialOutcome
from rllib_mamba.cli.sweep_table import differing_settings, is_sweep, ranked, sweep_table
from rllib_mamba.cli.tune_progress import TuneProgress
from rllib_mamba.tuning import KeepSchedulerState

TINY = ["-c", "train_batch_size_per_learner=128", "-c", "minibatch_size=64", "-c", "num_epochs=1"]
PPO = ["train", "--algo", "PPO", "--env", "CartPole-v1", "--num-env-runners", "0", *TINY]
ITERATIONS = 4
TRIALS = 4


def iterations(trial: Path) -> list[int]:
    """The iterations of a trial so far; the last line may be half written while it runs."""
    file = trial / "result.json"
    lines = file.read_text().splitlines(keepends=True) if file.is_file() else []
    return [json.loads(line)["training_iteration"] for line in lines if line.endswith("\n")]


def trials(folder: Path) -> dict[str, list[int]]:
    return {trial.name: iterations(trial) for trial in folder.glob("default/PPO_*")}


def test_a_sweep_is_interrupted_and_resumed(
    cluster: None, rllib: Callable, press_ctrl_c_after: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One trial at a time, as each asks for both processors.
    sweep = [
        "-c",
        "lr=loguniform:1e-5,1e-3",
        "-c",
        "num_cpus_for_main_process=2",
        "--num-samples",
        TRIALS,
        "--search",
        "optuna",
    ]
    scheduler = ["--scheduler", "asha", "--scheduler-config", json.dumps({"grace_period": ITERATIONS, "max_t": 99})]
    where = ["--local-dir", tmp_path]

    # One trial has ended, another has begun.
    press_ctrl_c_after(1, 2)
    interrupted = rllib(*PPO, *sweep, *scheduler, *where, "--stop-iters", ITERATIONS)
    monkeypatch.undo()

    assert interrupted.code == 130, interrupted.error
    before = trials(tmp_path)
    [finished] = [name for name, done in before.items() if len(done) == ITERATIONS]
    # It is given the iteration that it has begun.
    [unfinished] = [name for name, done in before.items() if done == [1, 2, 3]]
    assert any(line.split()[:3] == ["trial", "lr", "best"] for line in interrupted.out.splitlines())
    [resume] = [line for line in interrupted.out.splitlines() if "go on with" in line]
    written = (tmp_path / "default" / finished / "result.json").read_bytes()

    resumed = rllib(*shlex.split(resume.partition("rllib")[2]))

    assert resumed.code == 0, resumed.error
    after = trials(tmp_path)
    assert (tmp_path / "default" / finished / "result.json").read_bytes() == written
    # It went on from the checkpoint that Ctrl-C left, and then came those that were still to come, of which the search
    # algorithm had not even begun the last.
    assert after[unfinished] == list(range(1, ITERATIONS + 1))
    assert len(after) == TRIALS
    assert all(len(done) == ITERATIONS for done in after.values())
    table = resumed.out[
        resumed.out.index(f"{TRIALS} trials, by their best env_runners/episode_return_mean (max):") :
    ].splitlines()
    assert table[1].split()[:4] == ["trial", "lr", "best", "episode_return_mean"]
    returns = [float(line.split()[2]) for line in table[2 : 2 + TRIALS]]
    assert returns == sorted(returns, reverse=True)
    assert [line.split()[-1] for line in table[2 : 2 + TRIALS]] == ["ended"] * TRIALS
    assert sum("rllib evaluate" in line for line in table) == 1


# ---------------------------------------------------------------------- the table


class Kind(enum.StrEnum):
    RED = "red"


def outcome(name: str, score: float | None, config: dict[str, Any], **result: Any) -> TrialOutcome:
    return TrialOutcome(name, f"/results/{name}", {"trial_id": name, **result}, None, config=config, score=score)


def test_the_table_has_what_differs_and_the_best_first() -> None:
    common = {"gamma": 0.9, "callbacks_class": object(), "env_config": {"size": 3}}
    outcomes = [
        outcome("one", 1.0, {**common, "lr": 1e-3, "loss_scales": {"reward": 1}}, done=True, training_iteration=7),
        outcome("two", None, {**common, "lr": 1e-4, "loss_scales": {"reward": 2}, "callbacks_class": object()}),
        outcome("three", 3.5, {**common, "lr": [[0, 1e-3], [9, 0.0]], "loss_scales": {"reward": 2}}, done=True),
    ]
    assert differing_settings([one.config for one in outcomes]) == ["lr", "loss_scales.reward"]
    # Where only some have been written as JSON and read again.
    kinds = (Kind.RED, "red", "red")
    again = [{**one.config, "policies": (None, None), "kind": text} for one, text in zip(outcomes, kinds, strict=True)]
    again[1]["policies"] = [None, None]
    assert differing_settings(again) == ["lr", "loss_scales.reward"]
    title, header, *rows = sweep_table(outcomes, "env_runners/won", "max")
    assert title == "3 trials, by their best env_runners/won (max):"
    assert " ".join(header.split()) == "trial lr loss_scales.reward best won at env steps iterations state"
    assert [row.split()[0] for row in rows] == ["three", "one", "two"]
    assert rows[0].split()[1:6] == ["[[0,", "0.001],", "[9,", "0]]", "2"]
    assert rows[1].split() == ["one", "0.001", "1", "1", "-", "-", "7", "ended"]
    assert rows[2].split()[-1] == "unfinished"
    assert [one.name for one in ranked(outcomes, "min")] == ["one", "three", "two"]


def test_a_trial_without_results_has_settings_that_nobody_knows() -> None:
    outcomes = [outcome("one", 1.0, {"gamma": 0.9, "lr": 1e-3}), outcome("new", None, {})]
    outcomes.append(outcome("two", 2.0, {"gamma": 0.9, "lr": 1e-4}))
    _, header, *rows = sweep_table(outcomes, "env_runners/won", "max")
    assert " ".join(header.split()) == "trial lr best won at env steps iterations state"
    assert rows[2].split() == ["new", "-", "-", "-", "-", "-", "unfinished"]


def test_repeats_with_several_seeds_are_no_sweep() -> None:
    seeds = [outcome(str(seed), 1.0, {"seed": seed, "lr": 1e-3}) for seed in (1, 2)]
    assert not is_sweep(seeds)
    assert is_sweep([*seeds, outcome("3", 1.0, {"seed": 3, "lr": 1e-4})])


def test_trials_share_the_processors() -> None:
    assert describe_trials(9, [{"CPU": 1}], 2) == "9 trials, 2 at a time with 1 CPU each."
    assert describe_trials(9, [{"CPU": 1}, {"CPU": 1}], 3) == "9 trials, 1 at a time with 2 CPUs each."


# ---------------------------------------------------------------------- schedulers after an interruption


@pytest.mark.parametrize("keep", [True, False])
def test_a_scheduler_remembers_trials_that_have_ended(keep: bool) -> None:
    def halving() -> AsyncHyperBandScheduler:
        return AsyncHyperBandScheduler(metric="score", mode="max", max_t=9, grace_period=2, reduction_factor=2)

    def result(score: float) -> dict[str, Any]:
        return {"training_iteration": 2, "score": score}

    good, bad = Trial("PPO", trial_id="good", stub=True), Trial("PPO", trial_id="bad", stub=True)
    before = halving()
    for trial in (good, bad):
        before.on_trial_add(None, trial)
    before.on_trial_result(None, good, result(5.0))
    saved = KeepSchedulerState(before).get_state()

    after = halving()
    again = [Trial("PPO", trial_id=name, stub=True) for name in ("good", "bad")]
    for trial in again:
        after.on_trial_add(None, trial)
    if keep:
        callback = KeepSchedulerState(after)
        callback.set_state(saved)
        callback.on_step_begin(0, again)
    stopped = after.on_trial_result(None, again[1], result(1.0)) == TrialScheduler.STOP
    assert stopped == keep


def test_hyperband_waits_for_no_trial_that_has_ended() -> None:
    names = [str(number) for number in range(3)]
    before, after = (HyperBandScheduler(metric="score", mode="max", max_t=9) for _ in range(2))
    first = [Trial("PPO", trial_id=name, stub=True) for name in names]
    again = [Trial("PPO", trial_id=name, stub=True) for name in names]
    for trial in first:
        before.on_trial_add(None, trial)
    before.on_trial_complete(None, first[0], {})
    for trial in again:
        after.on_trial_add(None, trial)
    callback = KeepSchedulerState(after)
    callback.set_state(KeepSchedulerState(before).get_state())
    callback.on_step_begin(0, again)
    [bracket] = after._hyperbands[0]
    assert bracket.current_trials() == again[1:]
    assert not bracket.cur_iter_done()


@pytest.mark.parametrize(
    ("metric", "problem"),
    [
        (
            "learners/team/los",
            "--metric: learners/team/los is no metric of the results. Did you mean learners/team/loss",
        ),
        ("learners/team/loss", None),
        # It comes with the first episode that ends.
        ("env_runners/episode_metrics/won", None),
    ],
)
def test_a_metric_that_no_result_has_ends_the_experiment(metric: str, problem: str | None) -> None:
    ended = []
    previous = signal.signal(signal.SIGUSR1, lambda *_: ended.append(True))
    try:
        progress = TuneProgress({}, metric)
        for _ in range(2):
            progress.on_trial_result(1, [], "trial", {"learners": {"team": {"loss": 1.0}}})
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert len(ended) == (problem is not None)
    assert problem is None or (progress.problem or "").startswith(problem)
