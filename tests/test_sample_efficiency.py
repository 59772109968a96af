"""What the benchmark of env steps counts on: points and episodes of evaluation, and what an interruption leaves."""

import importlib
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rllib_mamba import MAMBAConfig

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("sample_efficiency")


@pytest.fixture
def greedy_evaluation(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("greedy_evaluation")


class RandomTeam:
    """Stands for a trained team and for the algorithm that gives it: draws its actions."""

    def get_policy(self) -> "RandomTeam":
        return self

    def reset(self, num_environments: int | None = None, environments: list[int] | None = None) -> None:
        pass

    def end(self, terminateds: dict[Any, bool], environment: int) -> None:
        pass

    def act_in_all(self, observations: list[dict], infos: list[dict], greedy: bool) -> list[dict[Any, int]]:
        assert greedy
        return [{agent: int(torch.randint(2, ())) for agent in one} for one in observations]


def test_points_are_close_until_mambas_budget_and_wider_from_there_on(benchmark: Any, tmp_path: Path) -> None:
    mamba = benchmark.Run("mamba", "smax_3m", 0, tmp_path)
    qmix = benchmark.Run("qmix", "smax_3m", 0, tmp_path)
    budget = mamba.evaluation_points[-1]

    assert mamba.evaluation_points == [budget * index // 20 for index in range(1, 21)]
    assert qmix.evaluation_points[:20] == mamba.evaluation_points
    assert qmix.evaluation_points[20:] == [budget * index // 2 for index in range(3, 21)]


def test_the_same_episodes_are_played_every_time_and_training_is_left_alone(greedy_evaluation: Any) -> None:
    config = MAMBAConfig().environment("symbol_game", env_config={"episode_length": 3})
    evaluate = greedy_evaluation.GreedyEvaluation(config, episodes=13, first_seed=7)
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    undisturbed = (float(torch.rand(())), np.random.rand(), random.random())
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)

    first, second = evaluate(RandomTeam()), evaluate(RandomTeam())

    assert (float(torch.rand(())), np.random.rand(), random.random()) == undisturbed
    assert first == second
    # More episodes than environments, and not a multiple of them.
    assert (first["num_episodes"], first["episode_len_mean"]) == (13, 3.0)


def test_what_came_after_the_last_checkpoint_is_forgotten(benchmark: Any, tmp_path: Path) -> None:
    class Saved:
        def save_to_path(self, path: str) -> None:
            Path(path).mkdir()

    run = benchmark.Run("qmix", "smax_3m", 0, tmp_path)
    records = benchmark.Records(str(run.folder), {"seed": 0})
    run.folder.mkdir()
    assert records.begin()[0] is None
    for iteration in (1, 2):
        records.write({"training_iteration": iteration})
        records.save(Saved(), seconds=iteration)
    records.write({"training_iteration": 3})
    with (run.folder / "result.json").open("a") as file:
        file.write('{"training_it')
    assert [row["training_iteration"] for row in run.results()] == [1, 2, 3]

    checkpoint, noted = benchmark.Records(str(run.folder), {"seed": 0}).begin()

    assert [checkpoint.name] == [folder.name for folder in run.folder.glob("checkpoint_*")]
    assert noted == {"rows": 2, "seconds": 2}
    assert [json.loads(line)["training_iteration"] for line in (run.folder / "result.json").open()] == [1, 2]
    assert not benchmark.is_finished(run)


def test_of_a_result_only_what_a_comparison_reads_is_kept(benchmark: Any) -> None:
    result = {
        benchmark.STEPS: 300,
        "training_iteration": 3,
        "config": {"seed": 0},
        "timers": {"learn": 1.0},
        "env_runners": {"episode_return_mean": 2.0, "episode_metrics": {"won": 0.5}, "sample": 9.0},
    }

    row = benchmark.evaluated(None, result, lambda algorithm: {"episode_return_mean": 4.0}, began=0.0)

    assert row.pop("time_total_s") >= 0
    assert row.pop("evaluation_seconds") >= 0
    assert row == {
        benchmark.STEPS: 300,
        "training_iteration": 3,
        "env_runners": {"episode_return_mean": 2.0, "episode_metrics": {"won": 0.5}},
        "evaluation": {"env_runners": {"episode_return_mean": 4.0}, "env_steps_before": 300},
    }


RECORDED = BENCHMARKS / "recorded" / "sample_efficiency"


@pytest.mark.parametrize("folder", sorted(path.name for path in RECORDED.glob("*_seed_*")))
def test_recorded_runs_are_whole_and_of_the_examples_as_they_are(benchmark: Any, folder: str) -> None:
    name, _, seed = folder.rpartition("_seed_")
    algorithm, _, task = name.partition("_")
    run = benchmark.Run(algorithm.lower(), task, int(seed), RECORDED)
    stored = json.loads((run.folder / "params.json").read_text())

    assert benchmark.is_finished(run)
    assert run.results()[-1][benchmark.STEPS] >= run.evaluation_points[-1]
    config = run.config()
    defaults, settings = type(config)().to_dict(), config.to_dict()
    chosen = {key: value for key, value in settings.items() if value != defaults.get(key)}
    assert chosen == {key: stored[key] for key in chosen}


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("mamba:smax_3m", ["mamba:smax_3m:0", "mamba:smax_3m:1"]),
        ("*:smax_3m:1", ["mamba:smax_3m:1"]),
        ("qmix", ["qmix:simple_spread:0"]),
    ],
)
def test_only_names_runs(benchmark: Any, pattern: str, names: list[str], tmp_path: Path) -> None:
    runs = [("mamba", "smax_3m", 0), ("mamba", "smax_3m", 1), ("qmix", "simple_spread", 0)]

    assert [
        run.name for run in (benchmark.Run(*given, tmp_path) for given in runs) if benchmark.matches(run, pattern)
    ] == names
