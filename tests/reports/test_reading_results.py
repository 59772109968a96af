import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rllib_mamba.reports.errors import ReportError
from rllib_mamba.reports.groups import Allowed, read_all, sections
from rllib_mamba.reports.metrics import default_metric, resolve_metric
from rllib_mamba.reports.reading import read_run
from rllib_mamba.reports.runs import STEPS, Run

RETURN = "env_runners/episode_return_mean"


def read(folder: Path, label: str | None = None) -> Run:
    run = read_run(folder / "result.json", label)
    assert run is not None
    return run


def test_results_of_plain_rllib_say_what_was_trained(tune_results: Path) -> None:
    [run], notes = read_all([str(tune_results)])
    assert (run.algorithm, run.environment, run.seed, run.step_unit) == ("PPO", "CartPole-v1", 1, "env steps")
    assert notes == []
    rows = [json.loads(line) for line in (run.folder / "result.json").read_text().splitlines()]
    series = run.series(RETURN)
    np.testing.assert_allclose(series.steps, [row["num_env_steps_sampled_lifetime"] for row in rows])
    np.testing.assert_allclose(series.values, [row["env_runners"]["episode_return_mean"] for row in rows])
    np.testing.assert_allclose(series.hours * 3600, [row["time_total_s"] for row in rows])


def test_an_evaluation_counts_once_at_the_steps_it_was_made(tune_results: Path) -> None:
    [run], _ = read_all([str(tune_results)])
    assert len(run.series(RETURN).steps) == 4
    assert run.series(f"evaluation/{RETURN}").steps.tolist() == run.columns[STEPS][[1, 3]].tolist()
    assert default_metric([run]) == f"evaluation/{RETURN}"


def test_a_half_written_last_line_is_left_out_with_a_note(make_run: Callable[..., Path]) -> None:
    folder = make_run("run", [1, 2, 3])
    file = folder / "result.json"
    file.write_text(file.read_text()[:-200])
    run = read(folder)
    assert run.series(RETURN).values.tolist() == [1, 2]
    assert "half-written" in run.notes[0]
    assert str(file) in run.notes[0]


def test_a_broken_line_in_the_middle_is_named(make_run: Callable[..., Path]) -> None:
    folder = make_run("run", [1, 2, 3])
    file = folder / "result.json"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0], lines[1][:50], lines[2]]))
    with pytest.raises(ReportError, match=r"result\.json, line 2 is no result"):
        read(folder)


def test_what_a_resumed_run_repeats_counts_once(make_run: Callable[..., Path]) -> None:
    first, again = make_run("run", [1, 2, 3]), make_run("again", [7, 8, 9, 10])
    file = first / "result.json"
    resumed = (again / "result.json").read_text().splitlines()[1:]
    file.write_text(file.read_text() + "\n".join(resumed) + "\n")
    run = read(first)
    assert run.series(RETURN).values.tolist() == [1, 8, 9, 10]
    assert "2 results" in run.notes[0]


def test_values_are_averaged_over_the_results_that_hold_so_many_episodes(make_run: Callable[..., Path]) -> None:
    folder = make_run("run", [0, 10, 20, 30])
    file = folder / "result.json"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    rows[2]["env_runners"]["num_episodes"] = 30
    file.write_text("\n".join(map(json.dumps, rows)))
    series = read(folder).series(RETURN, episodes=40)
    # The last forty episodes: all so far, all so far, 10 of return 10 and 30 of 20, 30 of 20 and 10 of 30.
    np.testing.assert_allclose(series.values, [0, 5, (10 * 10 + 30 * 20) / 40, (30 * 20 + 10 * 30) / 40])
    assert series.settled.tolist() == [False, False, True, True]


def test_returns_that_teams_average_are_not_those_that_rllib_sums_up(make_run: Callable[..., Path]) -> None:
    agents = {"agent_returns": {"a": 4.0, "b": 2.0}, "episode_return_mean": 3.0}
    by_agent = {"agent_episode_returns_mean": {"a": 1.0, "b": 3.0}, "episode_return_mean": 4.0}
    team = read(
        make_run("team", [3], algorithm="MAMBA", changes={"env_runners": agents}, settings={"team_reward": "mean"})
    )
    plain = read(make_run("plain", [4], changes={"env_runners": by_agent}))
    assert default_metric([team, plain]) == "env_runners/agent_return_mean"
    assert team.series("env_runners/agent_return_mean").values.tolist() == [3.0]
    assert plain.series("env_runners/agent_return_mean").values.tolist() == [2.0]
    assert default_metric([team]) == RETURN


def test_environments_of_teams_go_by_their_own_names(make_run: Callable[..., Path]) -> None:
    wrapped = {
        "env": "<class 'rllib_mamba.teams.configured.ConfiguredTeamEnv'>",
        "env_config": {"team_env": "TeamSetup(env='smax_3m', teams={'team': ('ally_0',)}, reward='mean')", "seed": 4},
    }
    team = read(make_run("team", [1], algorithm="QMIX", settings=wrapped))
    plain = read(make_run("plain", [1], settings={"env": "rllib_mamba/smax_3m", "env_config": {}}))
    assert (team.environment, team.env_config) == (plain.environment, plain.env_config) == ("smax_3m", {})


def test_old_results_count_their_own_steps(make_run: Callable[..., Path]) -> None:
    folder = make_run("run", [1, 2])
    file = folder / "result.json"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    for row in rows:
        row["timesteps_total"] = row.pop("num_env_steps_sampled_lifetime")
        row["env_runners"] = {"episode_reward_mean": row["env_runners"]["episode_return_mean"]}
    file.write_text("\n".join(map(json.dumps, rows)))
    old = read(folder)
    assert old.series(RETURN).values.tolist() == [1, 2]
    new = read(make_run("new", [1, 2], seed=1))
    with pytest.raises(ReportError, match=r"new counts env steps.*|run counts timesteps_total.*new counts env steps"):
        sections([old, new], Allowed())
    assert len(sections([old, new], Allowed(step_units=True))) == 1


def test_differences_that_make_a_comparison_wrong_are_errors(make_run: Callable[..., Path]) -> None:
    first = read(make_run("first", [1, 2]))
    larger = read(make_run("larger", [1, 3], seed=1, settings={"env_config": {"size": 5}}))
    with pytest.raises(ReportError, match=r"first and .*larger .*size: not given and 5.*--allow-different-env-config"):
        sections([first, larger], Allowed())
    [section] = sections([first, larger], Allowed(env_config=True))
    assert "size" in section.notes[0]
    same_seed = read(make_run("same_seed", [1, 3]))
    with pytest.raises(ReportError, match=r"first and .*same_seed have the same seed 0.*NAME=PATH"):
        sections([first, same_seed], Allowed())
    labelled = read(make_run("labelled", [1, 3]), label="other")
    assert [group.name for group in sections([first, labelled], Allowed())[0].groups] == ["PPO", "other"]
    copied = read(shutil.copytree(first.folder, first.folder.parent / "second"))
    with pytest.raises(ReportError, match=r"first and .*second are the same run"):
        sections([first, copied], Allowed(equal_seeds=True))


def test_settings_that_differ_within_a_group_are_noted(make_run: Callable[..., Path]) -> None:
    one, other = (read(make_run(str(lr), [1, 2], seed=lr, settings={"lr": lr})) for lr in (1, 2))
    [section] = sections([one, other], Allowed())
    assert section.notes == ("PPO: `lr` differs between its runs: 1, 2.",)


def test_metrics_go_by_full_and_short_names(make_run: Callable[..., Path], tune_results: Path) -> None:
    run = read(make_run("run", [1, 2]))
    evaluated, _ = read_all([str(tune_results)])
    assert resolve_metric("episode_return_mean", [run]) == RETURN
    assert resolve_metric("episode_return_mean", evaluated) == f"evaluation/{RETURN}"
    assert resolve_metric(RETURN, evaluated) == RETURN
    # What only some runs have of evaluations is compared in training.
    assert resolve_metric("episode_return_mean", [run, *evaluated]) == RETURN
    with pytest.raises(ReportError, match=r"has no metric 'episode_retrun'. It has episode_return_m"):
        resolve_metric("episode_retrun", [run])


def test_linked_folders_are_read_and_each_run_once(make_run: Callable, tmp_path: Path) -> None:
    first, second = make_run("elsewhere/first", [1.0, 2.0]), make_run("elsewhere/second", [1.0, 2.0], seed=1)
    results = tmp_path / "results"
    results.mkdir()
    (results / "first").symlink_to(first)
    (results / "again").symlink_to(first)
    (results / "both").symlink_to(second.parent)
    (second / "circle").symlink_to(results)
    (second / "checkpoint_000000").mkdir()
    shutil.copy(second / "result.json", second / "checkpoint_000000")
    runs, _ = read_all([str(results)])
    assert sorted(run.seed for run in runs) == [0, 1]
