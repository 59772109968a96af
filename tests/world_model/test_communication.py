"""Attention over agents: who is heard, and what an index means."""

import math

import pytest
import torch
from torch import nn

from rllib_mamba.world_model import self_attention
from rllib_mamba.world_model.communication import AgentAttention, dropout, index_code

SIZE, HEADS = 16, 4


def attention(layers: int = 2, communication: bool = True) -> AgentAttention:
    torch.manual_seed(0)
    return AgentAttention(SIZE, layers, HEADS, communication=communication).eval()


def outputs_that_change(module: AgentAttention, hear: torch.Tensor | None, changed: int, num_agents: int) -> set[int]:
    """The agents whose output differs when the message of the agent `changed` does."""
    torch.manual_seed(1)
    messages = torch.randn(3, num_agents, SIZE)
    other = messages.clone()
    other[:, changed] = torch.randn(3, SIZE)
    differs = (module(messages, hear) - module(other, hear)).abs().amax((0, 2)) > 0
    return set(differs.nonzero().flatten().tolist())


def test_everyone_hears_everyone_by_default():
    assert outputs_that_change(attention(), None, changed=1, num_agents=4) == {0, 1, 2, 3}


def test_without_communication_an_agent_hears_only_itself():
    assert outputs_that_change(attention(communication=False), None, changed=1, num_agents=4) == {1}


def test_without_communication_is_the_identity_mask():
    alone, team = attention(communication=False), attention()
    messages = torch.randn(5, 3, SIZE)
    torch.testing.assert_close(alone(messages), team(messages, torch.eye(3, dtype=torch.bool).expand(5, 3, 3)))


def test_a_mask_says_who_hears_whom():
    hear = torch.eye(4, dtype=torch.bool)
    hear[2, 1] = True
    assert outputs_that_change(attention(), hear.expand(3, 4, 4), changed=1, num_agents=4) == {1, 2}


def test_a_chain_of_hearers_passes_messages_on_from_layer_to_layer():
    hear = torch.eye(4, dtype=torch.bool)
    hear[1, 0] = hear[2, 1] = hear[3, 2] = True
    assert outputs_that_change(attention(layers=1), hear.expand(3, 4, 4), changed=0, num_agents=4) == {0, 1}
    assert outputs_that_change(attention(layers=2), hear.expand(3, 4, 4), changed=0, num_agents=4) == {0, 1, 2}


def test_any_number_of_leading_dimensions_and_agents():
    module = attention()
    messages = torch.randn(2, 3, 45, SIZE)
    assert torch.equal(module(messages)[1, 2], module(messages[1:, 2:])[0, 0])
    assert module(messages).shape == messages.shape


def test_index_code_holds_sines_and_cosines():
    code = index_code(40, 6)
    assert code.shape == (40, 6)
    for agent in (0, 7, 39):
        for column in range(6):
            angle = agent / 10_000 ** (2 * (column // 2) / 6)
            expected = math.cos(angle) if column % 2 else math.sin(angle)
            assert code[agent, column].item() == pytest.approx(expected, abs=1e-6)


def test_matches_torch_encoder_layer():
    module = attention(layers=1)
    reference = nn.TransformerEncoderLayer(SIZE, HEADS, SIZE, dropout=0.0, batch_first=True).eval()
    layer = module.layers[0]
    reference.self_attn.in_proj_weight.data = layer.query_key_value.weight.data
    reference.self_attn.in_proj_bias.data = layer.query_key_value.bias.data
    for ours, theirs in (
        (layer.output, reference.self_attn.out_proj),
        (layer.feed_forward_in, reference.linear1),
        (layer.feed_forward_out, reference.linear2),
        (layer.norm_attention, reference.norm1),
        (layer.norm_feed_forward, reference.norm2),
    ):
        theirs.load_state_dict(ours.state_dict())
    messages = torch.randn(6, 5, SIZE)
    hear = (torch.rand(5, 5) > 0.5) | torch.eye(5, dtype=torch.bool)
    expected = reference(messages + index_code(5, SIZE), src_mask=~hear)
    torch.testing.assert_close(module(messages, hear.expand(6, 5, 5)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize(("num_teams", "num_agents"), [(5, 2), (700, 3), (40, 6)])
def test_small_teams_by_pairs_are_as_large_ones_by_teams(monkeypatch, num_teams, num_agents, mixed):
    module = attention(layers=1)
    torch.manual_seed(1)
    messages = torch.randn(num_teams, num_agents, SIZE, requires_grad=True)
    hear = (torch.rand(num_teams, num_agents, num_agents) > 0.3) | torch.eye(num_agents, dtype=torch.bool)
    weight = torch.randn(num_teams, num_agents, SIZE)
    found = []
    for largest in (num_agents, num_agents - 1):
        monkeypatch.setattr(self_attention, "LARGEST_TEAM_BY_PAIRS", largest)
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed, cache_enabled=False):
            outputs = module(messages, hear)
        parameters = list(module.parameters())
        found.append([outputs, *torch.autograd.grad((outputs * weight).sum(), [messages, *parameters])])
    for by_pairs, by_teams in zip(*found, strict=True):
        largest = float(by_teams.detach().abs().max())
        tolerance = 0.03 * largest if mixed else 1e-5 * max(1.0, largest)
        torch.testing.assert_close(by_pairs, by_teams, rtol=0, atol=tolerance, check_dtype=False)


@pytest.mark.parametrize("largest_by_pairs", [3, 2])
def test_dropout_of_weights_keeps_the_mean(monkeypatch, largest_by_pairs):
    monkeypatch.setattr(self_attention, "LARGEST_TEAM_BY_PAIRS", largest_by_pairs)
    torch.manual_seed(0)
    messages, layer = torch.randn(1000, 3, SIZE), attention(layers=1).layers[0]

    def attend(dropout: float) -> torch.Tensor:
        return self_attention.self_attention(messages, layer.query_key_value, layer.output, HEADS, dropout=dropout)

    exact, dropped = attend(0.0), torch.stack([attend(0.5) for _ in range(8)])
    assert not torch.equal(dropped[0], dropped[1])
    slope = (dropped.mean(0) * exact).sum() / exact.square().sum()
    assert float(slope.detach()) == pytest.approx(1, abs=0.05)


def test_dropout_acts_in_training_mode_only():
    module = AgentAttention(SIZE, 1, HEADS, dropout=0.5)
    messages = torch.randn(2, 3, SIZE)
    assert not torch.equal(module.train()(messages), module(messages))
    assert torch.equal(module.eval()(messages), module(messages))


def test_dropout_keeps_the_mean():
    torch.manual_seed(0)
    dropped = dropout(torch.full((50_000,), 3.0), 0.25)
    assert dropped.unique().tolist() == [0.0, 4.0]
    assert dropped.mean().item() == pytest.approx(3.0, abs=0.03)


def test_heads_must_divide_the_size():
    with pytest.raises(ValueError, match="3 attention heads do not divide the hidden size 16"):
        AgentAttention(SIZE, 1, 3)
