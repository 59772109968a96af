"""Advantages and value targets, against calculations by hand."""

import pytest
import torch

from rllib_mamba.algorithms.mappo.advantages import estimate_advantages, find_fragments

GAMMA, TRACE_DECAY = 0.5, 0.5


def advantages(reward: list, value: list, discount: list, waiting: list | None = None) -> list[float]:
    """Of one agent in one part of an episode."""
    columns = [torch.tensor(column).view(1, -1, 1) for column in (reward, value, discount)]
    waiting_column = torch.tensor(waiting or [False] * len(reward)).view(1, -1, 1)
    result = estimate_advantages(*columns, TRACE_DECAY, waiting_column)
    # Where it acts.
    values = columns[1][:, :-1] + result.advantage
    torch.testing.assert_close(result.target[~waiting_column], values[~waiting_column])
    return result.advantage.flatten().tolist()


def test_a_part_that_was_cut_off_is_bootstrapped() -> None:
    # delta_1 = 2 + 0.5 * 8 - 4 = 2; delta_0 = 1 + 0.5 * 4 - 2 = 1; A_0 = 1 + 0.25 * 2.
    assert advantages([1.0, 2.0], [2.0, 4.0, 8.0], [GAMMA, GAMMA]) == [1.5, 2.0]


def test_a_terminated_one_is_not() -> None:
    # delta_1 = 2 - 4 = -2, whatever the value behind the end.
    assert advantages([1.0, 2.0], [2.0, 4.0, 8.0], [GAMMA, 0.0]) == [0.5, -2.0]


def test_nothing_passes_an_end_in_mid_part() -> None:
    assert advantages([1.0, 2.0], [2.0, 4.0, 8.0], [0.0, GAMMA]) == [-1.0, 2.0]


def test_what_an_agent_earns_while_it_waits_belongs_to_the_action_before() -> None:
    # It acts at 0 and 2: delta_0 = 1 + 0.5 * (6 + 0.5 * 4) - 2 = 3; delta_2 = 2 + 0.5 * 8 - 4 = 2, and A_0 takes it
    # with lambda once and gamma twice. What the critic thinks of the waiting agent (100) plays no part.
    result = advantages([1.0, 6.0, 2.0], [2.0, 100.0, 4.0, 8.0], [GAMMA] * 3, [False, True, False])
    assert result == [3.0 + TRACE_DECAY * GAMMA**2 * 2.0, GAMMA * 2.0, 2.0]


def test_the_value_of_waiting_is_what_comes_of_it() -> None:
    reward, value = torch.tensor([6.0, 2.0]).view(1, 2, 1), torch.tensor([100.0, 4.0, 8.0]).view(1, 3, 1)
    waiting = torch.tensor([True, False]).view(1, 2, 1)
    target = estimate_advantages(reward, value, torch.full((1, 2, 1), GAMMA), TRACE_DECAY, waiting).target
    # The lambda-return of the action that follows is 2 + 0.5 * 8.
    assert target.flatten().tolist() == [6.0 + GAMMA * 6.0, 6.0]


def test_agents_and_parts_do_not_mix() -> None:
    torch.manual_seed(0)
    reward, value = torch.randn(3, 4, 2), torch.randn(3, 5, 2)
    discount, waiting = torch.rand(3, 4, 2), torch.rand(3, 4, 2) < 0.3
    together = estimate_advantages(reward, value, discount, TRACE_DECAY, waiting)
    for part in range(3):
        for agent in range(2):
            alone = [column[part : part + 1, :, agent : agent + 1] for column in (reward, value, discount)]
            expected = estimate_advantages(*alone, TRACE_DECAY, waiting[part : part + 1, :, agent : agent + 1])
            for whole, piece in zip(together, expected, strict=True):
                torch.testing.assert_close(whole[part, :, agent], piece.flatten())


@pytest.mark.parametrize("padding", [0, 3])
def test_parts_are_found_between_the_rows_that_bootstrap(padding: int) -> None:
    acted = torch.tensor([True, True, False] + [False] * padding + [True, False])
    parts = find_fragments(acted)
    last = 3 + padding
    assert parts.rows.tolist() == [[0, 1, 2], [last, last + 1, last + 1]]
    assert parts.is_step.tolist() == [[True, True], [True, False]]


def test_no_rows_are_no_parts() -> None:
    assert find_fragments(torch.zeros(0, dtype=torch.bool)).is_step.shape == (0, 0)
