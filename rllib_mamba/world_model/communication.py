"""Attention over the agents of a team."""

import torch
from torch import Tensor, nn

from rllib_mamba.world_model.config import check_heads
from rllib_mamba.world_model.linear import Linear
from rllib_mamba.world_model.self_attention import dropout_mask, self_attention


def index_code(num_agents: int, size: int) -> Tensor:
    """Sinusoidal code (N, size) of the agents' indices (Vaswani et al., 2017): sine in even columns, cosine in odd."""
    column = torch.arange(size)
    frequency = torch.pow(10_000.0, -2 * torch.div(column, 2, rounding_mode="floor").double() / size)
    angle = torch.arange(num_agents).double().unsqueeze(-1) * frequency
    return torch.where(column % 2 == 0, angle.sin(), angle.cos()).float()


class AttentionLayer(nn.Module):
    """A post-norm transformer encoder layer (Vaswani et al., 2017) over the agent axis, feed-forward width = size."""

    def __init__(self, size: int, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        check_heads(size, num_heads)
        self.num_heads = num_heads
        self.dropout = dropout
        self.query_key_value = Linear(size, 3 * size)
        self.output = Linear(size, size)
        self.feed_forward_in = Linear(size, size)
        self.feed_forward_out = Linear(size, size)
        self.norm_attention = nn.LayerNorm(size)
        self.norm_feed_forward = nn.LayerNorm(size)
        nn.init.zeros_(self.query_key_value.bias)
        nn.init.zeros_(self.output.bias)

    def forward(self, inputs: Tensor, hear: Tensor | None = None) -> Tensor:
        """One layer: (..., N, size) to (..., N, size); `hear` (..., N, N) is true at [i, j] where i attends to j."""
        dropped = self.dropout if self.training else 0.0
        attended = self_attention(inputs, self.query_key_value, self.output, self.num_heads, hear, dropped)
        hidden = self.norm_attention(inputs + self._drop(attended))
        expanded = self._drop(self.feed_forward_in(hidden, relu=True))
        result: Tensor = self.norm_feed_forward(hidden + self._drop(self.feed_forward_out(expanded)))
        return result

    def _drop(self, values: Tensor) -> Tensor:
        return dropout(values, self.dropout) if self.training and self.dropout > 0 else values


def dropout(values: Tensor, probability: float) -> Tensor:
    """Each value is zero with the given probability, else scaled by 1 / (1 - probability)."""
    return values * dropout_mask(values.shape, probability, values)


class AgentAttention(nn.Module):
    """Attention layers over a team whose members are told apart by a code of their index, for any number of agents.

    With `communication` off every agent attends to itself alone.
    """

    _codes: Tensor

    def __init__(
        self, size: int, num_layers: int, num_heads: int, dropout: float = 0.0, communication: bool = True
    ) -> None:
        super().__init__()
        self.size = size
        self.communication = communication
        self.layers = nn.ModuleList(AttentionLayer(size, num_heads, dropout) for _ in range(num_layers))
        self.register_buffer("_codes", index_code(32, size), persistent=False)

    def forward(self, messages: Tensor, hear: Tensor | None = None) -> Tensor:
        """What every agent makes of the team's messages.

        Args:
            messages: (..., N, size), one per agent.
            hear: (..., N, N) bool, true at [i, j] where agent i may hear agent j; the diagonal must be true.
                None lets everyone hear everyone.

        Returns:
            (..., N, size).
        """
        hidden = messages + self._code(messages.shape[-2]).to(messages.dtype)
        if not self.communication:
            hidden, hear = hidden.unsqueeze(-2), None
        for layer in self.layers:
            hidden = layer(hidden, hear)
        return hidden if self.communication else hidden.squeeze(-2)

    def _code(self, num_agents: int) -> Tensor:
        if num_agents > len(self._codes):
            self._codes = index_code(num_agents, self.size).to(self._codes)
        return self._codes[:num_agents]
