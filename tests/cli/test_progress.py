import io
import re
import time

import pytest

from rllib_mamba.cli.progress import ProgressTracker, duration
from rllib_mamba.cli.reporter import LiveReporter, Reporter


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def result(iteration: int, steps: int, **more: object) -> dict[str, object]:
    return {"training_iteration": iteration, "num_env_steps_sampled_lifetime": steps, **more}


def test_rates_and_time_left() -> None:
    clock = Clock()
    tracker = ProgressTracker({"num_env_steps_sampled_lifetime": 1000, "training_iteration": 100}, clock)

    clock.now += 10
    first = tracker.update(result(1, 200))
    clock.now += 10
    second = tracker.update(result(2, 600))

    assert first.steps_per_second == pytest.approx(20)
    assert first.seconds_left == pytest.approx(40)
    assert second.steps_per_second == pytest.approx(40)
    # 600 steps in 20 s leave 400 steps; the iterations would take far longer.
    assert second.seconds_left == pytest.approx(400 / 30)


def test_a_restored_trial_counts_only_what_it_does_itself() -> None:
    clock = Clock()
    tracker = ProgressTracker({"num_env_steps_sampled_lifetime": 10_000}, clock)

    clock.now += 10
    first = tracker.update(result(50, 9000))
    clock.now += 10
    second = tracker.update(result(51, 9100))

    assert first.steps_per_second is None
    assert first.seconds_left is None
    assert second.steps_per_second == pytest.approx(10)
    assert second.seconds_left == pytest.approx(90)


def test_what_is_worth_showing_is_found() -> None:
    progress = ProgressTracker({}).update(
        result(
            3,
            1500,
            env_runners={"episode_return_mean": 2.5, "episode_metrics": {"arrived": 0.25}},
            evaluation={"env_runners": {"episode_return_mean": 4.0}},
            learners={"num_agent_updates_lifetime": 7.0, "team": {"total_loss": 1.5, "entropy": 3.0}},
        )
    )

    assert (progress.iteration, progress.env_steps) == (3, 1500)
    assert (progress.episode_return, progress.evaluation_return) == (2.5, 4.0)
    assert progress.metrics == {"arrived": 0.25}
    assert progress.updates == {"agent": 7}
    assert progress.losses == {"total loss": 1.5}
    text = " | ".join(progress.parts())
    for part in ("iteration 3", "1,500 env steps", "return 2.5", "arrived 0.25", "agent 7", "total loss 1.5"):
        assert part in text


def test_missing_and_undefined_numbers_are_left_out() -> None:
    progress = ProgressTracker({}).update(result(1, 10, env_runners={"episode_return_mean": float("nan")}))

    assert progress.episode_return is None
    assert "nan" not in " ".join(progress.parts())


def test_modules_are_told_apart() -> None:
    losses = {"red": {"total_loss": 1.0}, "blue": {"total_loss": 2.0}}

    assert ProgressTracker({}).update(result(1, 10, learners=losses)).losses == {
        "red/total loss": 1.0,
        "blue/total loss": 2.0,
    }


@pytest.mark.parametrize(("seconds", "text"), [(9.6, "10 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")])
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_lines_are_limited_but_the_last_is_always_shown() -> None:
    clock, stream = Clock(), io.StringIO()
    with Reporter({}, stream, line_interval=5, clock=clock) as reporter:
        reporter.started("trial")
        for iteration in range(1, 5):
            clock.now += 2
            reporter.result("trial", result(iteration, 10 * iteration))

    lines = [line for line in stream.getvalue().splitlines() if "iteration" in line]
    assert [line.split(" |")[0] for line in lines] == ["iteration 1", "iteration 4"]


def test_trials_are_named_when_there_are_several() -> None:
    stream = io.StringIO()
    with Reporter({}, stream, line_interval=0) as reporter:
        reporter.started("first")
        reporter.started("second")
        reporter.result("second", result(1, 10))

    assert "second: iteration 1" in stream.getvalue()


def test_silence_is_broken_while_nothing_comes() -> None:
    stream = io.StringIO()
    with Reporter({}, stream, heartbeat_interval=0.05) as reporter:
        reporter.started("trial")
        deadline = time.monotonic() + 60
        while "so far" not in stream.getvalue() and time.monotonic() < deadline:
            time.sleep(0.02)

    assert "training, " in stream.getvalue()


def test_a_criterion_that_is_no_metric_is_pointed_out_once() -> None:
    stream = io.StringIO()
    criteria = {"training_iterations": 3, "env_runners/episode_return_mean": 1.0}
    with Reporter(criteria, stream, line_interval=0) as reporter:
        reporter.result("trial", result(1, 10))
        reporter.result("trial", result(2, 20))

    [warning] = [line for line in stream.getvalue().splitlines() if "criterion" in line]
    assert "training_iterations is no metric" in warning
    assert "Did you mean training_iteration" in warning


@pytest.mark.parametrize("trials", [1, 2])
def test_a_terminal_shows_every_number_however_narrow(trials: int, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(80 * trials))
    with LiveReporter({"training_iteration": 4}) as reporter:
        for trial in ("first", "second")[:trials]:
            reporter.started(trial)
            reporter.result(trial, result(1, 12345, env_runners={"episode_metrics": {"arrived": 0.125}}))

    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    for text in ("first: training", "12,345", "arrived", "0.125"):
        assert text in shown
