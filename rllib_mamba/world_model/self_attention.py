"""Attention between the members of many small teams, with its projections and its gradient by hand.

What costs is moving the numbers about, of which the gradients of the single operations do several times as much.
torch's fused attention, made for long sequences, takes longer, too. Scores, weights and weighted sums are computed in
float32 in every precision.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from rllib_mamba.world_model.linear import (
    Linear,
    WeightForms,
    full_precision,
    product,
    product_type,
    sum_of_rows,
    without_autocast,
)

# Largest team for which a CPU is faster with sums over all teams, a pair of agents each, than with a product a team.
LARGEST_TEAM_BY_PAIRS = 6
# Numbers in a table of which several are written and read again: it stays in the cache.
PAIRS_AT_ONCE = 2**15
# Multiplications of a product below which torch multiplies without a library, and slowly: teams of two or three.
SMALLEST_BATCHED_PRODUCT = 400
# Numbers in a row below which torch's softmax on a CPU takes several times as long as its single operations.
FEWEST_SOFTMAX_CLASSES = 16


def self_attention(
    inputs: Tensor,
    query_key_value: Linear,
    output: Linear,
    num_heads: int,
    hear: Tensor | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """Multi-head scaled dot-product attention (Vaswani et al., 2017) within each team.

    Args:
        inputs: (..., N, size).
        query_key_value: projection to 3 * size; the heads of the queries first, then of keys and values.
        output: projection of what the heads give, size to size.
        num_heads: divides size.
        hear: (..., N, N) bool, true at [i, j] where i attends to j, or None for everyone.
        dropout: probability with which a weight is left out.

    Returns:
        (..., N, size).
    """
    num_agents = inputs.shape[-2]
    if inputs.device.type == "cpu" and num_agents <= LARGEST_TEAM_BY_PAIRS:
        teams = inputs.reshape(-1, *inputs.shape[-2:])
        heard = None if hear is None else hear.reshape(-1, num_agents, num_agents)
        attended: Tensor = _AttentionByPairs.apply(
            teams,
            query_key_value.weight,
            query_key_value.bias,
            output.weight,
            output.bias,
            num_heads,
            heard,
            dropout,
            product_type(inputs),
            query_key_value.forms_of("weight"),
            output.forms_of("weight"),
        )
        return attended.view(inputs.shape)
    return output(_AttentionByTeams.apply(query_key_value(inputs), num_heads, hear, dropout))


def dropout_mask(shape: tuple[int, ...], probability: float, like: Tensor) -> Tensor:
    """Zeros with the given probability, else 1 / (1 - probability), of the type and device of `like`."""
    # Uniform numbers are drawn four times as fast as the Bernoulli variables of torch's own dropout on a CPU.
    return (torch.rand(shape, device=like.device) >= probability).to(like.dtype).div_(1 - probability)


class _AttentionByPairs(Function):
    """For small teams: the teams are the last axis, along which every operation runs.

    The products give queries, keys and values as (size, rows), so that nothing needs to be turned round for it.
    """

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        in_weight: Tensor,
        in_bias: Tensor,
        out_weight: Tensor,
        out_bias: Tensor,
        num_heads: int,
        hear: Tensor | None,
        dropout: float,
        dtype: torch.dtype,
        in_forms: WeightForms,
        out_forms: WeightForms,
    ) -> Tensor:
        num_teams, num_agents, size = inputs.shape
        with without_autocast(inputs.device):
            rows = inputs.transpose(0, 1).reshape(-1, size).to(dtype)
            in_weight, out_weight = in_forms.right(dtype), out_forms.right(dtype)
            projected = full_precision(product(in_weight, rows)).add_(in_bias.unsqueeze(-1))
            parts = projected.view(3, num_heads, -1, num_agents, num_teams)
            query, key, value = parts
            scores = _products_of_pairs(query, key).mul_(query.shape[1] ** -0.5)
            if hear is not None:
                scores.masked_fill_(~hear.permute(1, 2, 0), float("-inf"))
            weights = scores.sub_(scores.amax(2, keepdim=True)).exp_()
            weights.div_(weights.sum(2, keepdim=True))
            noise = dropout_mask(weights.shape, dropout, weights) if dropout > 0 else None
            used = weights if noise is None else weights * noise
            attended = _weighted_sums_of_pairs(used, value, torch.empty_like(value)).to(dtype).view(size, -1)
            outputs = product(attended.t(), out_weight, out_bias.to(dtype))
        ctx.save_for_backward(rows, parts, weights, noise, attended, in_weight, out_weight)
        return outputs.view(num_agents, num_teams, size).transpose(0, 1).contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, parts, weights, noise, attended, in_weight, out_weight = ctx.saved_tensors
        query, key, value = parts
        _, head_size, num_agents, num_teams = query.shape
        size = gradient.shape[-1]
        with without_autocast(gradient.device):
            gradient = gradient.transpose(0, 1).reshape(-1, size)
            of_attended = full_precision(product(out_weight.t(), gradient)).view_as(query)
            of_weights = _products_of_pairs(of_attended, value)
            if noise is not None:
                of_weights.mul_(noise)
            of_weights.mul_(weights)
            of_scores = of_weights.sub_(weights * of_weights.sum(2, keepdim=True)).mul_(head_size**-0.5)
            used = weights if noise is None else weights * noise
            of_parts = torch.empty_like(parts)
            _weighted_sums_of_pairs(of_scores, key, of_parts[0])
            _weighted_sums_of_pairs(of_scores.transpose(1, 2), query, of_parts[1])
            _weighted_sums_of_pairs(used.transpose(1, 2), of_attended, of_parts[2])
            of_projected = of_parts.view(3 * size, -1)
            of_in_bias = of_projected.sum(1)
            of_projected = of_projected.to(rows.dtype)
            of_inputs = product(of_projected.t(), in_weight.t())
            return (
                of_inputs.view(num_agents, num_teams, size).transpose(0, 1).contiguous(),
                full_precision(product(of_projected, rows.t())),
                of_in_bias,
                full_precision(product(attended, gradient.t())).t(),
                sum_of_rows(gradient),
                *(None,) * 6,
            )


def _products_of_pairs(left: Tensor, right: Tensor) -> Tensor:
    """Scalar products (H, N, N, R) at [i, j] of left (H, E, N, R) at i and right (H, E, N, R) at j."""
    num_heads, size, num_agents, num_teams = left.shape
    if size * num_agents**2 * num_teams <= PAIRS_AT_ONCE:
        return (left.unsqueeze(3) * right.unsqueeze(2)).sum(1)
    products = left.new_empty(size, num_agents, num_agents, num_teams)
    sums = left.new_empty(num_heads, num_agents, num_agents, num_teams)
    for head in range(num_heads):
        torch.mul(left[head].unsqueeze(2), right[head].unsqueeze(1), out=products)
        torch.sum(products, 0, out=sums[head])
    return sums


def _weighted_sums_of_pairs(weights: Tensor, values: Tensor, sums: Tensor) -> Tensor:
    """Into sums (H, E, N, R) at i: the values (H, E, N, R) at all j, times the weights (H, N, N, R) at [i, j]."""
    torch.mul(weights[:, None, :, 0], values[:, :, 0, None], out=sums)
    for agent in range(1, values.shape[2]):
        sums.addcmul_(weights[:, None, :, agent], values[:, :, agent, None])
    return sums


class _AttentionByTeams(Function):
    """For larger teams, and on other devices: a product for each team and head. Without the projections."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, num_heads: int, hear: Tensor | None, dropout: float) -> Tensor:
        num_agents, width = inputs.shape[-2:]
        size = width // 3 // num_heads
        split = inputs.reshape(-1, num_agents, 3, num_heads, size).permute(2, 0, 3, 1, 4)
        parts = full_precision(split.contiguous()).view(3, -1, num_agents, size)
        query, key, value = parts.unbind(0)
        with without_autocast(inputs.device):
            scores = torch.bmm(query, key.transpose(1, 2)).mul_(size**-0.5)
            if hear is not None:
                silent = ~hear.reshape(-1, 1, num_agents, num_agents)
                scores.view(-1, num_heads, num_agents, num_agents).masked_fill_(silent, float("-inf"))
            weights = _softmax(scores)
            noise = dropout_mask(weights.shape, dropout, weights) if dropout > 0 else None
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
        with without_autocast(gradient.device):
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
