"""How many update cycles experience calls for, whatever the portions it comes in."""

import pytest

from rllib_mamba.algorithms.schedule import UpdateSchedule


def done_after(schedule: UpdateSchedule, portions: list[tuple[int, int]]) -> list[int]:
    """Cycles done after each portion of (env steps, finished episodes), all that are due being done at once."""
    done = []
    for env_steps, episodes in portions:
        schedule.collected(env_steps, episodes)
        while schedule.cycles_due > 0:
            schedule.cycle_done()
        done.append(schedule.cycles_done)
    return done


def test_one_cycle_per_so_many_env_steps_from_the_first_ones_on() -> None:
    schedule = UpdateSchedule(100, "env_steps", min_steps_before_learning=250)
    assert done_after(schedule, [(240, 9), (20, 0), (80, 0), (10, 0), (500, 0)]) == [0, 1, 1, 2, 7]
    assert schedule.env_steps == 850


def test_one_cycle_per_so_many_episodes_from_the_first_ones_on() -> None:
    schedule = UpdateSchedule(3, "episodes", min_episodes_before_learning=8)
    assert done_after(schedule, [(50, 7), (50, 2), (50, 2), (50, 0), (50, 6)]) == [0, 1, 2, 2, 4]


def test_both_kinds_of_first_experience_are_waited_for() -> None:
    schedule = UpdateSchedule(1, "episodes", min_steps_before_learning=100, min_episodes_before_learning=4)
    assert done_after(schedule, [(90, 6), (20, 1), (10, 1)]) == [0, 1, 2]


@pytest.mark.parametrize("portion", [1, 7, 1000])
def test_portions_do_not_matter(portion: int) -> None:
    schedule = UpdateSchedule(10, "env_steps", min_steps_before_learning=95)
    assert done_after(schedule, [(portion, 0)] * (7000 // portion))[-1] == 1 + (7000 - 95) // 10


def test_what_was_missed_while_the_replay_was_empty_is_not_made_up_for() -> None:
    schedule = UpdateSchedule(10, "env_steps", min_steps_before_learning=50)
    assert done_after(schedule, [(100, 0)]) == [6]
    schedule.experience_lost()
    assert done_after(schedule, [(40, 0), (10, 0), (10, 0)]) == [6, 6, 7]


def test_counters_go_on_from_a_checkpoint() -> None:
    schedule, restored = (UpdateSchedule(2, "episodes", min_episodes_before_learning=3) for _ in range(2))
    done_after(schedule, [(10, 4)])
    restored.set_state(schedule.get_state())
    portions = [(10, 1), (10, 3)]
    assert done_after(restored, portions) == done_after(schedule, portions) == [2, 3]
    assert restored.env_steps == 30


@pytest.mark.parametrize(("every", "unit", "due"), [(10, "env_steps", 3), (500, "env_steps", 0), (1, "episodes", 0)])
def test_with_another_ratio_only_what_is_unused_calls_for_cycles(every: int, unit: str, due: int) -> None:
    schedule = UpdateSchedule(100, "env_steps")
    done_after(schedule, [(1_000, 9), (35, 0)])
    restored = UpdateSchedule(every, unit)
    restored.set_state(schedule.get_state())
    assert restored.cycles_due == due
