"""Who listens to whom: the weights of the attention between agents, for looking at, apart from what computes fast."""

import torch
from torch import Tensor

from rllib_mamba.world_model.communication import AgentAttention, AttentionLayer, index_code
from rllib_mamba.world_model.rssm import RSSM, LatentState


@torch.no_grad()
def attention_in_transition(rssm: RSSM, state: LatentState, action: Tensor, hear: Tensor | None = None) -> Tensor:
    """Attention weights (..., layers, heads, N, N) in `rssm.transition(state, action, hear)`, in evaluation mode.

    Row i says whom agent i listens to; it sums to 1.
    """
    message = torch.relu(rssm.message(torch.cat([action, state.stochastic], -1)))
    return attention_weights(rssm.communication, message, hear)


@torch.no_grad()
def attention_weights(communication: AgentAttention, messages: Tensor, hear: Tensor | None = None) -> Tensor:
    """Attention weights (..., layers, heads, N, N) of `communication(messages, hear)`, in evaluation mode."""
    num_agents = messages.shape[-2]
    if not communication.communication:
        hear = torch.eye(num_agents, dtype=torch.bool, device=messages.device)
    hidden = messages + index_code(num_agents, communication.size).to(messages)
    weights = []
    for layer in communication.layers:
        assert isinstance(layer, AttentionLayer)
        weights.append(_layer_weights(layer, hidden, hear))
        hidden = layer(hidden, hear)
    return torch.stack(weights, -4)


def _layer_weights(layer: AttentionLayer, inputs: Tensor, hear: Tensor | None) -> Tensor:
    query, key, _ = layer.query_key_value(inputs).unflatten(-1, (3, layer.num_heads, -1)).unbind(-3)
    scores = query.transpose(-2, -3) @ key.movedim(-3, -1) * query.shape[-1] ** -0.5
    if hear is not None:
        scores = scores.masked_fill(~hear.unsqueeze(-3), float("-inf"))
    return torch.softmax(scores, -1)
