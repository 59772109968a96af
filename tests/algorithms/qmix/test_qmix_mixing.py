"""The team's value never falls as the value of one of its agents rises."""

import itertools

import pytest
import torch
from torch import nn

from rllib_mamba.algorithms.qmix.mixing import AdditiveMixer, MonotonicMixer

AGENTS, STATE = 4, 5


@pytest.fixture(params=[None, 16], ids=["linear", "two layers"])
def mixer(request: pytest.FixtureRequest) -> MonotonicMixer:
    torch.manual_seed(0)
    mixer = MonotonicMixer(AGENTS, STATE, embedding_size=8, hypernetwork_hidden_size=request.param)
    # Far from the small numbers it begins with: training goes there.
    for parameter in mixer.parameters():
        nn.init.normal_(parameter)
    return mixer


def test_mixing_is_monotone_in_every_agents_value(mixer: MonotonicMixer) -> None:
    values = (10 * torch.randn(200, AGENTS)).requires_grad_()
    state = torch.randn(200, STATE)
    mixed = mixer(values, state)
    (slopes,) = torch.autograd.grad(mixed.sum(), values)
    assert (slopes >= 0).all()
    assert (slopes > 0).any(dim=0).all()
    for agent in range(AGENTS):
        for rise in (1e-3, 1.0, 100.0):
            raised = values.detach().clone()
            raised[:, agent] += rise
            # Equal but for rounding where the mixer is flat.
            assert (mixer(raised, state) >= mixed - 1e-4 * mixed.abs()).all()


def test_the_agents_best_actions_are_the_teams(mixer: MonotonicMixer) -> None:
    action_values = torch.randn(20, AGENTS, 3)
    state = torch.randn(20, STATE)
    joint = torch.stack(
        [
            mixer(action_values[:, range(AGENTS), list(actions)], state)
            for actions in itertools.product(range(3), repeat=AGENTS)
        ]
    )
    each = mixer(action_values.max(dim=-1).values, state)
    torch.testing.assert_close(joint.max(dim=0).values, each)


def test_the_weights_follow_the_state(mixer: MonotonicMixer) -> None:
    values = torch.randn(1, AGENTS).expand(2, -1).clone().requires_grad_()
    (slopes,) = torch.autograd.grad(mixer(values, torch.randn(2, STATE)).sum(), values)
    assert not torch.allclose(slopes[0], slopes[1])


def test_two_agents_by_hand() -> None:
    mixer = MonotonicMixer(num_agents=2, state_size=1, embedding_size=1, hypernetwork_hidden_size=None)
    numbers = {
        "hidden_weights": [[-2.0], [3.0]],
        "hidden_bias": [[-1.0]],
        "output_weights": [[-4.0]],
    }
    for name, weight in numbers.items():
        layer = getattr(mixer, name)
        layer.weight.data = torch.tensor(weight)
        layer.bias.data.zero_()
    first, _, last = mixer.output_bias
    first.weight.data, last.weight.data = torch.tensor([[0.5]]), torch.tensor([[6.0]])
    first.bias.data.zero_()
    last.bias.data = torch.tensor([0.25])
    mixed = mixer(torch.tensor([[1.0, 0.5], [-1.0, 0.0]]), torch.ones(2, 1))
    # elu(2 * 1 + 3 * 0.5 - 1) * 4 + 6 * relu(0.5) + 0.25, and elu(-2 - 1) * 4 + 3.25.
    expected = torch.tensor([2.5 * 4 + 3.25, (torch.exp(torch.tensor(-3.0)).item() - 1) * 4 + 3.25])
    torch.testing.assert_close(mixed, expected)


def test_leading_dimensions_are_kept(mixer: MonotonicMixer) -> None:
    values, state = torch.randn(3, 7, AGENTS), torch.randn(3, 7, STATE)
    mixed = mixer(values, state)
    assert mixed.shape == (3, 7)
    torch.testing.assert_close(mixed[1, 2], mixer(values[1, 2], state[1, 2]))


def test_addition() -> None:
    values = torch.tensor([[1.0, 2.0, -4.0]])
    assert AdditiveMixer()(values, torch.randn(1, 2)).tolist() == [-1.0]
