"""What an env runner plays between two messages of the algorithm."""

from typing import Any

from lessons import Lessons

from rllib_mamba.curriculum import Curriculum, InOrder, Progress, Weighted
from rllib_mamba.curriculum.sampling import TaskSampler

TASKS = {"first": {"level": 1}, "second": {"level": 2}}


class Episodes:
    """Sub-environments of an env runner."""

    def __init__(self, schedule: Any, **arguments: Any) -> None:
        self.games = [Lessons() for _ in range(3)]
        curriculum = Curriculum(TASKS, schedule, metric="won")
        arguments = {"progress": Progress.beginning(2), "seed": 0, "worker_index": 1, **arguments}
        self.sampler = TaskSampler(curriculum, **arguments)

    def begin(self, index: int) -> int:
        self.sampler.choose_task(self.games[index], index)
        self.games[index].reset()
        self.sampler.begin_episode(index)
        return self.games[index].now["level"]

    def end(self, index: int, won: float = 1.0) -> None:
        self.sampler.end_episode(index, {"won": won})


def test_episodes_under_way_count() -> None:
    episodes = Episodes(InOrder((2, 1)))
    assert [episodes.begin(index) for index in range(3)] == [1, 1, 2]
    report = episodes.sampler.report()
    assert (report.finished, report.unfinished) == ([], [0, 0, 1])
    episodes.end(1, won=0.5)
    assert episodes.sampler.report().finished == [(0, 0.5)]
    assert episodes.sampler.report().finished == []


def test_an_episode_that_has_not_begun_takes_note_of_news() -> None:
    episodes = Episodes(InOrder((2, 1)))
    episodes.begin(0)
    episodes.sampler.choose_task(episodes.games[1], 1)
    assert episodes.games[1].task == {"level": 1}
    assert episodes.sampler.report().unfinished == [0]
    episodes.sampler.update(Progress([1, 0], [1.0, None], [1, 0], iterations=1))
    assert episodes.games[1].task == {"level": 2}


def test_after_a_checkpoint_was_loaded_what_was_under_way_does_not_count() -> None:
    episodes = Episodes(InOrder((2, 1)))
    episodes.begin(0)
    episodes.sampler.restart(Progress.beginning(2))
    episodes.end(0)
    assert episodes.sampler.report().finished == []
    assert [episodes.begin(index) for index in range(3)] == [1, 1, 2]


def test_evaluation_in_between_plays_no_task_and_does_not_count() -> None:
    episodes = Episodes(InOrder((2, 1)))
    episodes.begin(0)
    episodes.sampler.paused = True
    episodes.end(0)
    assert episodes.begin(0) == 0
    episodes.end(0)
    episodes.sampler.paused = False
    assert episodes.sampler.report().finished == []
    assert episodes.begin(0) == 1


def test_draws_follow_from_seed_env_runner_and_iteration() -> None:
    def drawn(**arguments: Any) -> list[int]:
        episodes = Episodes(Weighted((1, 1)), **arguments)
        return [episodes.begin(0) for _ in range(30)]

    assert drawn() == drawn()
    later = Progress([0, 0], [None, None], [0, 0], iterations=1)
    different = [drawn(), drawn(seed=1), drawn(worker_index=2), drawn(progress=later), drawn(seed=None)]
    assert len({tuple(levels) for levels in different}) == len(different)
    assert 5 < drawn().count(1) < 25


def test_an_episode_without_a_score_is_a_problem() -> None:
    episodes = Episodes(InOrder((2, 1)))
    episodes.begin(0)
    episodes.end(0, won=float("nan"))
    report = episodes.sampler.report()
    assert report.finished == []
    assert report.problem == (
        "The curriculum's metric is 'won', and an episode of the task 'first' ended with the value nan."
    )
