"""Targets against hand calculations, and which actions count."""

import pytest
import torch

from rllib_mamba.algorithms.qmix.acting import NO_OP, best_actions, legal_actions
from rllib_mamba.algorithms.qmix.targets import taken_steps, team_reward, value_targets

GAMMA = 0.5


def episodes(length: int) -> dict[str, torch.Tensor]:
    """Three steps that end by themselves, and two that a time limit ends, padded to `length` steps."""
    columns = {
        "reward": torch.tensor([[1.0, 2.0, 4.0], [1.0, 2.0, 0.0]]),
        "terminated": torch.tensor([[False, False, True], [False, False, False]]),
        "filled": torch.tensor([[True, True, True], [True, True, False]]),
    }
    padding = length - 3
    padded = {name: torch.nn.functional.pad(column, (0, padding)) for name, column in columns.items()}
    # What is behind an episode's final observation must not matter.
    value = torch.tensor([[99.0, 8.0, 16.0, 77.0], [99.0, 8.0, 32.0, 55.0]])
    padded["value"] = torch.nn.functional.pad(value, (0, padding), value=1234.0)
    return padded


@pytest.mark.parametrize("length", [3, 6])
@pytest.mark.parametrize(
    ("trace_decay", "ended", "cut"),
    [
        # r + gamma * V of the next step; nothing after an end, the final observation's value after a time limit.
        (0.0, [1 + 4, 2 + 8, 4], [1 + 4, 2 + 16]),
        # All of the rewards: 4; 2 + 2; 1 + 2. And 2 + 16; 1 + 9.
        (1.0, [3, 4, 4], [10, 18]),
        # Half of either at every step: 4; 2 + (16 + 4) / 4; 1 + (8 + 7) / 4. And 18; 1 + (8 + 18) / 4.
        (0.5, [4.75, 7, 4], [7.5, 18]),
    ],
)
def test_returns_by_hand(trace_decay: float, ended: list[float], cut: list[float], length: int) -> None:
    targets = value_targets(**episodes(length), gamma=GAMMA, trace_decay=trace_decay)
    assert targets.shape == (2, length)
    assert targets[0, :3].tolist() == pytest.approx(ended)
    assert targets[1, :2].tolist() == pytest.approx(cut)


def test_agents_that_learn_each_for_itself_share_rewards_and_ends() -> None:
    columns = episodes(3)
    expected = [
        value_targets(**{**columns, "value": columns["value"] * factor}, gamma=GAMMA, trace_decay=0.5)
        for factor in (1.0, 3.0)
    ]
    columns["value"] = torch.stack([columns["value"], 3 * columns["value"]], dim=-1)
    targets = value_targets(**columns, gamma=GAMMA, trace_decay=0.5)
    torch.testing.assert_close(targets, torch.stack(expected, dim=-1))


def test_a_teams_reward() -> None:
    reward = torch.tensor([[[1.0, 2.0, 6.0]]])
    assert team_reward(reward, "mean").tolist() == [[3.0]]
    assert team_reward(reward, "sum").tolist() == [[9.0]]


def test_steps_that_were_taken() -> None:
    filled = torch.tensor([[True, False]])
    assert taken_steps(filled, torch.zeros(1, 2)).tolist() == [[True, False]]
    assert taken_steps(filled, torch.zeros(1, 2, 3)).tolist() == [[[True] * 3, [False] * 3]]


def test_only_legal_actions_count_and_one_alone_where_there_are_none() -> None:
    mask = torch.tensor([[0, 1, 1], [1, 1, 1], [0, 0, 0]], dtype=torch.int8)
    alive = torch.tensor([1, 0, 1], dtype=torch.int8)
    no_op = [action == NO_OP for action in range(3)]
    assert legal_actions(alive, mask, 3).tolist() == [[False, True, True], no_op, no_op]
    assert legal_actions(alive, None, 3).tolist() == [[True] * 3, no_op, [True] * 3]


def test_the_best_action_is_legal() -> None:
    values = torch.tensor([[9.0, -3.0, -2.0], [1.0, 5.0, 2.0]])
    legal = torch.tensor([[False, True, True], [True, True, True]])
    assert best_actions(values, legal).tolist() == [2, 1]
