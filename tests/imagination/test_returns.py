"""Lambda-returns against their definition."""

import pytest
import torch

from rllib_mamba.imagination import lambda_returns


def slow_return(reward: list[float], discount: list[float], value: list[float], trace_decay: float, step: int) -> float:
    """The recursive definition, one number at a time."""
    if step == len(reward):
        return value[-1]
    following = slow_return(reward, discount, value, trace_decay, step + 1)
    return reward[step] + discount[step] * ((1 - trace_decay) * value[step + 1] + trace_decay * following)


@pytest.mark.parametrize("trace_decay", [0.0, 0.6, 1.0])
def test_definition(trace_decay):
    torch.manual_seed(0)
    length, items, agents = 6, 4, 3
    reward = torch.randn(length, items, 1, dtype=torch.float64)
    discount = torch.rand(length, items, agents, dtype=torch.float64)
    value = torch.randn(length + 1, items, agents, dtype=torch.float64)
    returns = lambda_returns(reward, discount, value, trace_decay)
    assert returns.shape == (length, items, agents)
    for item in range(items):
        for agent in range(agents):
            series = reward[:, item, 0].tolist(), discount[:, item, agent].tolist(), value[:, item, agent].tolist()
            for step in range(length):
                expected = slow_return(*series, trace_decay, step)
                assert returns[step, item, agent].item() == pytest.approx(expected)


def test_one_is_the_discounted_sum_and_zero_looks_one_step_ahead():
    reward, value = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([10.0, 20.0, 30.0, 40.0])
    discount = torch.full((3,), 0.5)
    assert lambda_returns(reward, discount, value, 1.0)[0].item() == 1 + 2 / 2 + 4 / 4 + 40 / 8
    assert lambda_returns(reward, discount, value, 0.0).tolist() == [11.0, 17.0, 24.0]


def test_nothing_counts_after_the_end():
    reward, value = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([10.0, 20.0, 30.0, 40.0])
    assert lambda_returns(reward, torch.tensor([0.9, 0.0, 0.9]), value, 1.0)[1].item() == 2
