"""Attention over the agents of a team."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from rllib_mamba.world_model.config import check_heads
from rllib_mamba.world_model.linear import Linear, full_precision

# Multiplications of a product below which torch multiplies without a library, and slowly: teams of two or three.
SMALLEST_BATCHED_PRODUCT = 400
# Numbers in a row below which torch's softmax on a CPU takes several times as long as its single operations.
FEWEST_SOFTMAX_CLASSES = 16


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
        attended = self.output(self._attend(inputs, hear))
        hidden = self.norm_attention(inputs + self._drop(attended))
        expanded = self._drop(self.feed_forward_in(hidden, relu=True))
        result: Tensor = self.norm_feed_forward(hidden + self._drop(self.feed_forward_out(expanded)))
        return result

    def _attend(self, inputs: Tensor, hear: Tensor | None) -> Tensor:
        parts = self.query_key_value(inputs)
        noise = None
        if self.training and self.dropout > 0:
            num_agents = inputs.shape[-2]
            noise = self.norm_attention.weight.new_ones(
                parts.shape[:-2].numel() * self.num_heads, num_agents, num_agents
            )
            noise = dropout(noise, self.dropout)
        attended: Tensor = _Attention.apply(parts, self.num_heads, hear, noise)
        return attended

    def _drop(self, values: Tensor) -> Tensor:
        return dropout(values, self.dropout) if self.training and self.dropout > 0 else values


class _Attention(Function):
    """Scaled dot-product attention, its gradient by hand.

    Teams are small, and there are many of them: what costs is moving the numbers about, of which the gradients of the
    single operations do several times as much. torch's fused attention, made for long sequences, takes longer, too.
    It is computed in float32 in every precision.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, num_heads: int, hear: Tensor | None, noise: Tensor | None) -> Tensor:
        num_agents, width = inputs.shape[-2:]
        size = width // 3 // num_heads
        split = inputs.reshape(-1, num_agents, 3, num_heads, size).permute(2, 0, 3, 1, 4)
        parts = full_precision(split.contiguous()).view(3, -1, num_agents, size)
        query, key, value = parts.unbind(0)
        with torch.autocast(inputs.device.type, enabled=False):
            scores = torch.bmm(query, key.transpose(1, 2)).mul_(size**-0.5)
            if hear is not None:
                silent = ~hear.reshape(-1, 1, num_agents, num_agents)
                scores.view(-1, num_heads, num_agents, num_agents).masked_fill_(silent, float("-inf"))
            weights = _softmax(scores)
            attended = _weighted_sum(weights if noise is None else weights * noise, value)
        ctx.save_for_backward(parts, weights, noise)
        ctx.num_heads = num_heads
        joined = attended.view(-1, num_heads, num_agents, size).transpose(1, 2)
        return joined.reshape(*inputs.shape[:-1], width // 3).to(inputs.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        parts, weights, noise = ctx.saved_tensors
        query, key, value = parts.unbind(0)
        num_agents, size = query.shape[-2:]
        split = gradient.reshape(-1, num_agents, ctx.num_heads, size).transpose(1, 2)
        of_attended = split.reshape(-1, num_agents, size).to(parts.dtype)
        of_parts = torch.empty_like(parts)
        used_weights = weights if noise is None else weights * noise
        with torch.autocast(gradient.device.type, enabled=False):
            of_weights = torch.bmm(of_attended, value.transpose(1, 2))
            if noise is not None:
                of_weights.mul_(noise)
            of_weights.mul_(weights)
            of_scores = of_weights.sub_(weights * of_weights.sum(-1, keepdim=True)).mul_(size**-0.5)
            _weighted_sum(of_scores, key, out=of_parts[0])
            _weighted_sum(of_scores.transpose(1, 2), query, out=of_parts[1])
            _weighted_sum(used_weights.transpose(1, 2), of_attended, out=of_parts[2])
        joined = of_parts.view(3, -1, ctx.num_heads, num_agents, size).permute(1, 3, 0, 2, 4)
        return joined.reshape(*gradient.shape[:-1], -1).to(gradient.dtype), None, None, None


def _softmax(scores: Tensor) -> Tensor:
    """Over the last axis; may overwrite its argument."""
    if scores.shape[-1] >= FEWEST_SOFTMAX_CLASSES or scores.device.type != "cpu":
        return torch.softmax(scores, -1)
    powers = scores.sub_(scores.amax(-1, keepdim=True)).exp_()
    return powers.div_(powers.sum(-1, keepdim=True))


def _weighted_sum(weights: Tensor, values: Tensor, out: Tensor | None = None) -> Tensor:
    """weights (R, N, N) times values (R, N, E), a product for each of R."""
    num_agents, size = values.shape[-2:]
    if num_agents**2 * size >= SMALLEST_BATCHED_PRODUCT:
        return torch.bmm(weights, values, out=out)
    sums = torch.mul(weights[:, :, :1], values[:, :1], out=out)
    for agent in range(1, num_agents):
        sums.addcmul_(weights[:, :, agent : agent + 1], values[:, agent : agent + 1])
    return sums


def dropout(values: Tensor, probability: float) -> Tensor:
    """Each value is zero with the given probability, else scaled by 1 / (1 - probability)."""
    # Uniform numbers are drawn four times as fast as the Bernoulli variables of torch's own dropout on a CPU.
    drawn = torch.rand(values.shape, device=values.device)
    return values * (drawn >= probability).to(values.dtype).div_(1 - probability)


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
