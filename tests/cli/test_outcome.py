import sys
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import RayTaskError

from rllib_mamba.cli.errors import did_you_mean, root_message
from rllib_mamba.cli.outcome import TrialOutcome, exit_code

RETURN = "env_runners/episode_return_mean"


def outcome(returned: float | None = None, **more: Any) -> TrialOutcome:
    result = {"training_iteration": 3, "env_runners": {"episode_return_mean": returned}} if returned else {}
    return TrialOutcome("trial", "/results/trial", result, "/results/my trial/checkpoint_000000", **more)


def test_a_finished_run_exits_with_0() -> None:
    assert exit_code([outcome(5.0)], {"training_iteration": 3}, interrupted=False, as_test=False) == (0, None)


def test_one_failed_trial_fails_the_run() -> None:
    code, reason = exit_code([outcome(5.0), outcome(error=ValueError("no such map"))], {}, False, False)

    assert code == 1
    assert reason == "1 of 2 trials failed: ValueError: no such map"


def test_an_interruption_is_the_wanted_end_only_without_stop_criteria() -> None:
    assert exit_code([outcome(5.0)], {}, interrupted=True, as_test=False)[0] == 0
    assert exit_code([outcome(5.0)], {"training_iteration": 9}, interrupted=True, as_test=False)[0] == 130


@pytest.mark.parametrize(("returns", "code"), [([4.0], 1), ([4.0, 6.0], 0), ([5.0], 0), ([None], 1)])
def test_as_test_asks_for_the_return(returns: list[float | None], code: int) -> None:
    outcomes = [outcome(value) for value in returns]

    assert exit_code(outcomes, {RETURN: 5.0, "training_iteration": 9}, interrupted=False, as_test=True)[0] == code


def test_the_evaluation_line_quotes_the_path() -> None:
    assert "rllib evaluate '/results/my trial/checkpoint_000000'" in "\n".join(outcome(1.0).lines())


def test_the_cause_of_a_remote_failure_is_found() -> None:
    cause = KeyError("speed")
    remote = RayTaskError("step", "Traceback (most recent call last):\n  File ...\nKeyError: 'speed'", cause)

    assert root_message(remote) == "KeyError: 'speed'"


def test_the_cause_is_read_from_the_text_where_ray_gives_no_more() -> None:
    text = (
        "The actor died because of an error raised in its creation task, ray::PPO.__init__()\n"
        'Traceback (most recent call last):\n  File "config.py", line 3, in validate\n'
        "ValueError: sequence_length is longer\nthan the buffer\n\n"
        "During handling of the above exception, another exception occurred:\n\n"
        'Traceback (most recent call last):\n  File "algorithm.py", line 4, in __repr__\n'
        "AttributeError: 'NoneType' object has no attribute 'x'\n"
    )

    assert root_message(RuntimeError(text)) == "ValueError: sequence_length is longer than the buffer"


def test_the_nearest_names_come_first() -> None:
    assert did_you_mean("flatland_5", ["smax_3m", "flatland_5_agents"]) == " Did you mean flatland_5_agents?"
    assert did_you_mean("qqqq", ["smax_3m"]) == ""


@pytest.mark.parametrize("on_the_path", [True, False])
def test_the_line_that_evaluates_calls_this_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_the_path: bool
) -> None:
    command = tmp_path / "my environment" / "bin" / "rllib"
    command.parent.mkdir(parents=True)
    command.touch(mode=0o755)
    monkeypatch.setattr(sys, "argv", [str(command), "train"])
    monkeypatch.setenv("PATH", str(command.parent if on_the_path else tmp_path))
    expected = "    rllib evaluate '/results" if on_the_path else f"'{command}' evaluate '/results"
    assert expected in "\n".join(outcome(1.0).lines())
