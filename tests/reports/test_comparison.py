import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rllib_mamba.reports.comparison import Comparison, Method, compare
from rllib_mamba.reports.errors import ReportError
from rllib_mamba.reports.groups import Allowed, read_all, sections
from rllib_mamba.reports.report import ratio, steps_to_threshold
from rllib_mamba.reports.runs import HOURS, STEPS
from rllib_mamba.reports.statistics import Bootstrap, average

RETURN = "env_runners/episode_return_mean"


def compared(folders: list[Path], **method: object) -> Comparison:
    runs, notes = read_all([str(folder) for folder in folders])
    settings = {"smoothing": 0, "bootstrap": Bootstrap(500), **method}
    return compare(sections(runs, Allowed()), Method(RETURN, **settings), notes)


@pytest.fixture
def fast_and_slow(make_run: Callable[..., Path]) -> list[Path]:
    """Three seeds that reach 8 after 200, 300 and 400 steps, and three that need ten times as many."""
    curves = [[0, 8, 10, 10, 10], [0, 5, 8, 10, 10], [0, 2, 5, 8, 10]]
    fast = [make_run(f"fast{seed}", curve, seed, "MAMBA") for seed, curve in enumerate(curves)]
    slow = [make_run(f"slow{seed}", curve, seed, "QMIX", steps=1000) for seed, curve in enumerate(curves)]
    return [*fast, *slow]


def test_steps_to_the_threshold_and_their_ratio(fast_and_slow: list[Path]) -> None:
    [section] = compared(fast_and_slow).sections
    mamba, qmix = section.groups
    assert section.threshold == pytest.approx(8)
    assert mamba.reached == (200, 300, 400)
    assert qmix.reached == (2000, 3000, 4000)
    assert (mamba.median_reached.point, mamba.ratio) == (300, None)
    assert qmix.ratio is not None
    assert (qmix.ratio.point, qmix.ratio.low, qmix.ratio.high) == (10, 5, 20)
    assert section.reference == "MAMBA"


def test_scores_are_also_compared_at_equal_steps(fast_and_slow: list[Path]) -> None:
    [section] = compared(fast_and_slow, final_share=0.01).sections
    mamba, qmix = section.groups
    assert section.common_steps == 500
    assert mamba.finals == qmix.finals == (10, 10, 10)
    assert mamba.equal_steps is not None
    assert mamba.equal_steps.point == 10
    # QMIX has no result yet after 500 steps.
    assert qmix.equal_steps is None


def test_curves_average_over_seeds_as_far_as_all_go(make_run: Callable[..., Path]) -> None:
    folders = [make_run("a", [0, 2, 4], 0), make_run("b", [2, 4, 6, 8], 1), make_run("c", [4, 6, 8], 2)]
    [section] = compared(folders, statistic="mean", bootstrap=Bootstrap(4000)).sections
    curve = section.groups[0].curves[STEPS]
    assert curve is not None
    assert (curve.x[0], curve.x[-1]) == (100, 300)
    np.testing.assert_allclose(curve.center, 2 + 2 * (curve.x - 100) / 100)
    assert curve.low is not None
    assert curve.high is not None
    # With three seeds the extreme draws, one seed three times, have a chance of 1/27 each: more than 2.5 %.
    np.testing.assert_allclose([curve.low[0], curve.high[0]], [0, 4])
    by_time = section.groups[0].curves[HOURS]
    assert by_time is not None
    assert by_time.x[-1] == pytest.approx(3 * 36 / 3600)


def test_one_seed_has_no_interval(make_run: Callable[..., Path]) -> None:
    [section] = compared([make_run("a", [0, 2, 4])]).sections
    [group] = section.groups
    assert group.iqm.low is None
    assert group.curves[STEPS] is not None
    assert group.curves[STEPS].low is None
    assert "one seed: no interval" in steps_to_threshold(group)


def test_what_is_never_reached_is_said_with_its_bound(make_run: Callable[..., Path]) -> None:
    good = [make_run(f"good{seed}", [0, 5, 10], seed, "MAMBA") for seed in range(3)]
    bad = [make_run(f"bad{seed}", [0] * 9, seed, "QMIX") for seed in range(3)]
    [section] = compared([*good, *bad], threshold=5).sections
    mamba, qmix = section.groups
    assert steps_to_threshold(qmix) == "not reached within 900"
    assert ratio(qmix, mamba) == "> 4.5"
    [section] = compared([*good, *bad], threshold=5, reference="QMIX").sections
    mamba, qmix = section.groups
    assert ratio(mamba, qmix) == "< 0.222"
    [section] = compared([*good, *bad], threshold=50).sections
    assert ratio(section.groups[1], section.groups[0]) == "neither got there"


def test_seeds_that_get_stuck_widen_the_interval(make_run: Callable[..., Path]) -> None:
    curves = [[0, 10, 10, 10], [0, 0, 10, 10], [0, 0, 0, 0]]
    folders = [make_run(f"run{seed}", curve, seed) for seed, curve in enumerate(curves)]
    [section] = compared(folders, threshold=10).sections
    [group] = section.groups
    assert group.median_reached.point == 300
    assert group.median_reached.high == math.inf
    assert steps_to_threshold(group) == "300 (200 to > 400); 1 of 3 seeds not within 400"


def test_a_share_of_negative_returns_is_counted_from_the_beginning(make_run: Callable[..., Path]) -> None:
    folders = [make_run(f"run{seed}", [-20, -15, -10], seed) for seed in range(2)]
    [section] = compared(folders, final_share=0.01).sections
    assert section.threshold == pytest.approx(-12)
    assert "of the way" in section.threshold_rule


def test_lower_can_be_better(make_run: Callable[..., Path]) -> None:
    folders = [make_run(f"run{seed}", [100, 50, 20], seed) for seed in range(2)]
    [section] = compared(folders, final_share=0.01, lower_is_better=True).sections
    assert section.threshold == pytest.approx(36)
    assert section.groups[0].reached == (300, 300)


def test_environments_together_are_normalised(make_run: Callable[..., Path]) -> None:
    folders = []
    for environment, scale in (("first", 1.0), ("second", 100.0)):
        settings = {"env": environment}
        for seed in range(3):
            good, bad = ([0, value * scale] for value in (10 + seed, 5 + seed))
            folders.append(make_run(f"{environment}_good{seed}", good, seed, "MAMBA", settings=settings))
            folders.append(make_run(f"{environment}_bad{seed}", bad, seed, "QMIX", settings=settings))
    aggregate = compared(folders, final_share=0.01).aggregate
    assert aggregate is not None
    assert aggregate.environments == ("first", "second")
    assert aggregate.one == pytest.approx({"first": 11.0, "second": 1100.0})
    assert aggregate.mean["MAMBA"].point == pytest.approx(1)
    assert aggregate.mean["QMIX"].point == pytest.approx(6 / 11)
    assert aggregate.probabilities["MAMBA", "QMIX"].point == 1


def test_the_interquartile_mean_leaves_out_the_outer_quarters() -> None:
    values = np.array([[100.0, 0], [1, 1], [2, 2], [-50, 100]])
    np.testing.assert_allclose(average(values, "iqm"), [1.5, 1.5])
    np.testing.assert_allclose(average(values[:3], "iqm"), values[:3].mean(axis=0))


def test_an_unknown_reference_names_what_there_is(make_run: Callable[..., Path]) -> None:
    with pytest.raises(ReportError, match=r"--reference MAPO is none of what is compared: PPO"):
        compared([make_run("a", [0, 2, 4])], reference="MAPO")
