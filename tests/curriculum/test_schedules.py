"""Which task comes next, by what has been played."""

import json
from typing import Any

import numpy as np
import pytest

from rllib_mamba.curriculum import Curriculum, InOrder, Prioritized, Progress, Weighted

TASKS = [{"level": 0}, {"level": 1}, {"level": 2}]


def progress(episodes: list[int], scores: list[float | None] | None = None) -> Progress:
    return Progress(episodes, scores or [0.0] * len(episodes), [0] * len(episodes))


class TestInOrder:
    @pytest.mark.parametrize(
        ("episodes", "task"),
        [([0, 0, 0], 0), ([1, 0, 0], 0), ([2, 0, 0], 1), ([5, 2, 0], 1), ([2, 3, 0], 2), ([2, 3, 99], 2)],
    )
    def test_stays_with_the_last_task(self, episodes: list[int], task: int) -> None:
        assert InOrder((2, 3, 1)).probabilities(progress(episodes)).argmax() == task

    def test_cycles(self) -> None:
        schedule, played, order = InOrder((2, 1), cycle=True), progress([0, 0]), []
        for _ in range(9):
            probabilities = schedule.probabilities(played)
            assert sorted(probabilities) == [0.0, 1.0]
            order.append(int(probabilities.argmax()))
            played.record(order[-1], 0.0, 1.0)
        assert order == [0, 0, 1] * 3

    def test_what_was_played_too_often_counts_in_the_next_round(self) -> None:
        assert InOrder((2, 1), cycle=True).probabilities(progress([3, 1])).argmax() == 0
        assert InOrder((2, 1), cycle=True).probabilities(progress([4, 1])).argmax() == 1


def test_weights_are_proportions() -> None:
    np.testing.assert_allclose(Weighted((1, 0, 3.0)).probabilities(progress([9, 9, 9])), [0.25, 0, 0.75])


class TestPrioritized:
    def test_unplayed_tasks_go_first(self) -> None:
        played = progress([4, 0, 0], [0.0, None, None])
        np.testing.assert_array_equal(Prioritized().probabilities(played), [0, 0.5, 0.5])

    @pytest.mark.parametrize(("prefer", "by_rank"), [("low", [2, 6, 3]), ("high", [6, 2, 3])])
    def test_ranks_and_ages(self, prefer: Any, by_rank: list[int]) -> None:
        # Ranks 1, 2, 3 have the shares 6 : 3 : 2. Since their last episodes 0, 3 and 1 others were finished.
        played = Progress([5, 1, 4], [0.9, 0.1, 0.5], [10, 7, 9])
        expected = 0.8 * np.array(by_rank) / 11 + 0.2 * np.array([0, 3, 1]) / 4
        np.testing.assert_allclose(Prioritized(prefer, 1.0, 0.2).probabilities(played), expected)

    def test_the_lower_the_temperature_the_more_the_first(self) -> None:
        played = Progress([1, 1], [0.9, 0.1], [1, 2])
        np.testing.assert_allclose(Prioritized("low", 0.5, 0.0).probabilities(played), [0.2, 0.8])

    def test_one_task_is_enough(self) -> None:
        assert Prioritized().probabilities(Progress([1], [0.5], [1])).tolist() == [1.0]


def test_scores_are_means_at_first_and_then_follow_the_last_episodes() -> None:
    played = Progress.beginning(2)
    for value in (1.0, 0.0, 0.5, 0.5):
        played.record(1, value, smoothing=0.25)
    assert played.scores == [None, 0.5]
    played.record(1, 1.0, smoothing=0.25)
    assert played.scores[1] == 0.625
    played.record(0, 1.0, smoothing=0.25)
    assert (played.episodes, played.last_episodes, played.total_episodes) == ([1, 5], [6, 5], 6)


def test_progress_is_plain_data() -> None:
    played = Progress.beginning(2)
    played.record(0, 0.5, 0.1)
    assert Progress(**json.loads(json.dumps(played.get_state()))) == played


class TestDescription:
    def test_lists_and_names(self) -> None:
        by_list = Curriculum.from_description({"kind": "in_order", "tasks": TASKS, "episodes": 5, "metric": "won"})
        assert by_list.names == ["task_0", "task_1", "task_2"]
        assert by_list.schedule == InOrder((5, 5, 5))
        named = {"kind": "weighted", "tasks": {"easy": {}, "hard": {"level": 9}}, "weights": [1, 2], "smoothing": 0.5}
        curriculum = Curriculum.from_description(json.loads(json.dumps(named)))
        assert curriculum == Curriculum({"easy": {}, "hard": {"level": 9}}, Weighted((1, 2)), smoothing=0.5)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"kind": "prioritised"}, "one of in_order, weighted, prioritized, .*did you mean 'prioritized'"),
            ({"kind": None}, "one of in_order, weighted, prioritized"),
            ({"tasks": None}, "tasks must be a list, or a dictionary by name"),
            ({"tasks": []}, "at least one task"),
            ({"tasks": [3]}, "the task 'task_0' must be a dictionary of settings, got 3"),
            ({"tasks": {"a/b": {}}}, "without '/', got 'a/b'"),
            ({"metric": 3}, "metric must be the name"),
            ({"smoothing": 0}, "smoothing must be a number above 0"),
            ({"episods": 3}, "in_order has no option 'episods' .did you mean 'episodes'"),
            ({"episodes": [1, 2]}, "episodes must be 3 numbers, one for each task, got 2"),
            ({"episodes": 0}, "episodes must be positive integers, got 0"),
            ({"episodes": "many"}, "episodes must be positive integers, got 'many'"),
            ({"cycle": 1}, "cycle must be true or false"),
            ({"kind": "weighted", "episodes": ...}, "weighted needs 'weights'"),
            ({"kind": "weighted", "episodes": ..., "weights": 3}, "a list with a number for each task"),
            ({"kind": "weighted", "episodes": ..., "weights": [1]}, "weights must be 3 numbers, one for each task"),
            ({"kind": "weighted", "episodes": ..., "weights": [1, 1, -1]}, "at least 0, got -1"),
            ({"kind": "weighted", "episodes": ..., "weights": [1, 1, float("nan")]}, "finite numbers"),
            ({"kind": "weighted", "episodes": ..., "weights": [0, 0, 0]}, "not all be 0"),
            ({"kind": "prioritized", "episodes": ..., "prefer": "mid"}, "prefer must be 'low' or 'high', got 'mid'"),
            ({"kind": "prioritized", "episodes": ..., "temperature": 0}, "temperature must be a number above 0"),
            ({"kind": "prioritized", "episodes": ..., "staleness": 1.1}, "staleness must be a number from 0 to 1"),
        ],
    )
    def test_what_is_wrong_is_said(self, changes: dict[str, Any], message: str) -> None:
        description = {"kind": "in_order", "tasks": TASKS, "episodes": 5, **changes}
        description = {name: value for name, value in description.items() if value is not ...}
        with pytest.raises(ValueError, match=f"The curriculum cannot be used: .*{message}"):
            Curriculum.from_description(description)

    def test_anything_else_is_refused(self) -> None:
        with pytest.raises(ValueError, match="must be a dictionary with 'kind' and 'tasks'"):
            Curriculum.from_description("in_order")
