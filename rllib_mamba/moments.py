"""Means and variances of what comes in batches, some of it padding, and from several learners."""

from collections.abc import Callable

import torch
from torch import Tensor

Reduce = Callable[[Tensor], Tensor]
"""Adds up a tensor over all learners; the identity where there is only one."""


def moment_sums(values: Tensor, mask: Tensor) -> Tensor:
    """Number, sum and sum of squares, (3, K) float64, of values (R, K) where `mask` (R, K) or (R, 1); they add up."""
    values = values.double()
    counted = mask.double().expand_as(values)
    return torch.stack([counted.sum(0), (counted * values).sum(0), (counted * values.square()).sum(0)])


def mean_and_variance(sums: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (K,) of what `moment_sums` counted; zeros where that was nothing."""
    count, total, squares = sums.unbind()
    mean = total / count.clamp(min=1)
    return mean, (squares / count.clamp(min=1) - mean.square()).clamp(min=0)


def merged(
    mean: Tensor, variance: Tensor, other_mean: Tensor, other_variance: Tensor, share: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean and variance of two sets of values, of which the other one weighs `share` in [0, 1] of both."""
    step = other_mean - mean
    spread = (1 - share) * variance + share * other_variance
    return mean + share * step, spread + share * (1 - share) * step.square()
