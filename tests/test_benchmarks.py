"""The benchmarks of speed in their smallest form: every figure of their tables is there."""

import argparse
import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rllib_mamba import MAMBAConfig

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SMALL = {"hidden_size": 16, "deterministic_size": 16, "num_categoricals": 4, "num_classes": 4}


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a benchmark by name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


def small(sizes: Any) -> Any:
    """Sizes of an update of a few milliseconds."""
    return replace(
        sizes,
        hidden=16,
        deterministic=16,
        categoricals=4,
        classes=4,
        observation=5,
        agents=2,
        sequence=5,
        batch=3,
        horizon=3,
        minibatch=30,
    )


def test_learner(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = module("learner")
    monkeypatch.setitem(learner.SIZES, "quick", small(learner.SIZES["quick"]))
    monkeypatch.setattr(learner, "matrix_peak", lambda dtype: (1e11, 1e11))
    arguments = argparse.Namespace(reference=None, mixed_precision=True, options="{}", repeats=2, no_memory=True)
    found = learner.measure("quick", arguments)
    for phase in learner.PHASES:
        for program in (learner.OURS, learner.MIXED):
            parts = {part: kinds["wall"] for part, kinds in found["seconds"][phase][program].items()}
            least, middle, most = parts.pop("total")
            assert 0 < least <= middle <= most
            assert 0 < sum(median for _, median, _ in parts.values()) < 2 * most
    assert [table.row_count for table in learner.tables("quick", found)] == [18, 4]


def test_acting(module: Any) -> None:
    acting = module("acting")
    config = acting.configuration(agents=4, environments=2, runners=0, sizes=SMALL)
    counts = {"agents": 4, "environments": 2, "env_runners": 0, "connectors": "ours"}
    found = counts | acting.measure_local(config, seconds=0.05, repeats=2)
    least, middle, most = found["steps_per_second"]
    assert 0 < least <= middle <= most
    assert all(0 < share < 1 for share in found["shares"].values())
    assert sum(found["shares"].values()) == pytest.approx(1)
    assert acting.table_of([found]).row_count == 1


def test_scaling(module: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    scaling = module("scaling")
    monkeypatch.setattr(scaling, "BASE", small(scaling.BASE))
    growth = [*scaling.update_growth({"agents": (2, 3)}, repeats=1)]
    assert [found["value"] for found in growth] == [2, 3]
    assert all(found["seconds"].keys() == scaling.PARTS.keys() for found in growth)
    replay = [*scaling.replay_growth(capacity=500, points=4)]
    # The last quarter finds the buffer full.
    assert [point["rows"] <= 500 for point in replay] == [True] * 4
    assert replay[0]["bytes"] < replay[2]["bytes"]
    scaling.draw({"costs": growth, "replay": replay}, tmp_path / "scaling.png")
    assert (tmp_path / "scaling.png").stat().st_size > 0
    assert [table.row_count for table in scaling.tables({"costs": growth, "replay": replay})] == [6, 4]


@pytest.mark.usefixtures("ray_cluster")
def test_overlap(module: Any) -> None:
    overlap = module("overlap")
    for kind, on in overlap.KINDS.items():
        config = overlap.configuration("mamba/flatland_5_agents_small", 2, on, {"horizon": 3})
        found = (config.num_env_runners, config.num_envs_per_env_runner, config.overlap_acting, config.horizon)
        assert found == (2, 4, on, 3), kind
    algorithms = {}
    for kind in overlap.KINDS:
        config = MAMBAConfig().environment("symbol_game").preset("debug").debugging(seed=0)
        algorithms[kind] = config.training(update_every=20, min_steps_before_learning=0).build_algo()
    found = overlap.compare(algorithms, cycles=3, repeats=2)
    for algorithm in algorithms.values():
        algorithm.stop()
    assert found["env_steps_per_cycle"] == pytest.approx(20)
    for kind in overlap.KINDS:
        least, middle, most = found[kind]["milliseconds"]
        assert 0 < least <= middle <= most
        assert all(0 < share < 1 for share in found[kind]["waited"])
    assert overlap.table_of([{"example": "symbol_game", "env_runners": 0, **found}]).row_count == 1
