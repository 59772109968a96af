"""Values in units of their own running mean and deviation, and PopArt for outputs that learn them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rllib_mamba.moments import Reduce, mean_and_variance, merged, moment_sums

DECAY = 0.99999
"""Share of the old statistics that stays in an update: all updates count alike. Source: the code of MAPPO."""
LEAST_VARIANCE = 1e-2
"""Source: the code of MAPPO."""


class RunningNormalizer(nn.Module):
    """Mean and deviation of values over all updates so far.

    With `preserved` outputs it is PopArt (van Hasselt et al., 2016, arXiv 1602.07714): when the statistics change, the
    outputs are rescaled so that every value stays what it was in units of the reward. Otherwise the network follows by
    learning. Before the first update values are not changed; after it, what the untrained outputs give stands for the
    mean, give or take.

    Args:
        size: K statistics: 1 for all agents together, or N, one for each.
        preserved: the K linear outputs, with one value each, that are rescaled.
    """

    mean: Tensor
    variance: Tensor
    weight: Tensor

    def __init__(self, size: int, preserved: Sequence[nn.Linear] = ()) -> None:
        super().__init__()
        # In a tuple, so that the outputs are not submodules a second time.
        self._preserved = tuple(preserved)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("variance", torch.ones(size))
        # What all updates so far weigh together, 1 after infinitely many.
        self.register_buffer("weight", torch.zeros(size))

    @property
    def deviation(self) -> Tensor:
        """Standard deviation (K,)."""
        return self.variance.clamp(min=LEAST_VARIANCE).sqrt()

    def normalize(self, values: Tensor) -> Tensor:
        """Values (..., N) minus the mean, over the deviation."""
        return (values - self.mean) / self.deviation

    def denormalize(self, values: Tensor) -> Tensor:
        """The inverse of `normalize`."""
        return values * self.deviation + self.mean

    @torch.no_grad()
    def update(self, targets: Tensor, mask: Tensor, reduce: Reduce | None = None) -> None:
        """Takes the targets of a batch of experience into account.

        Args:
            targets: (R, N), in units of the reward.
            mask: (R, N) bool, which of them count; a statistic with none stays as it is.
            reduce: sums a tensor over the learners, so that all have the statistics of all.
        """
        sums = moment_sums(targets, mask)
        if self.mean.numel() == 1:
            sums = sums.sum(dim=1, keepdim=True)
        if reduce is not None:
            sums = reduce(sums)
        new_weight = torch.where(sums[0] > 0, 1 - DECAY, 0.0)
        old_weight, old_mean, old_deviation = (part.clone() for part in (self.weight, self.mean, self.deviation))
        self.weight.mul_(1 - new_weight).add_(new_weight)
        share = new_weight / self.weight.clamp(min=1 - DECAY)
        mean, variance = merged(old_mean, self.variance, *mean_and_variance(sums), share)
        self.mean.copy_(mean)
        self.variance.copy_(variance)
        if self._preserved:
            scales = torch.where(old_weight > 0, old_deviation / self.deviation, 1.0)
            shifts = torch.where(old_weight > 0, (old_mean - self.mean) / self.deviation, 0.0)
            for output, scale, shift in zip(self._preserved, scales, shifts, strict=True):
                output.weight.mul_(scale)
                output.bias.mul_(scale).add_(shift)
