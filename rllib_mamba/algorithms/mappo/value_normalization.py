"""Normalised targets for critics: a running mean and deviation of what they learn, and PopArt."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

DECAY = 0.99999
"""Share of the old statistics that stays in an update. Source: the publication's code."""
LEAST_VARIANCE = 1e-2
"""Source: the publication's code."""

Reduce = Callable[[Tensor], Tensor]
"""Adds up a tensor over all learners; the identity where there is only one."""


class ValueNormalizer(nn.Module):
    """Mean and deviation of value targets over all updates so far.

    With `preserved` outputs it is PopArt (van Hasselt et al., 2016, arXiv 1602.07714): when the statistics change, the
    outputs are rescaled so that every value stays what it was in units of the reward. Otherwise the network follows by
    learning. Before the first update values are not changed; after it, what the untrained outputs give stands for the
    mean, give or take. The publication updates at every gradient step; here it is once for every batch of experience,
    so that values and targets are in the same units throughout an update.

    Args:
        size: K statistics: 1 for all agents together, or N, one for each.
        preserved: the K linear outputs, with one value each, that are rescaled.
    """

    mean: Tensor
    square: Tensor
    weight: Tensor

    def __init__(self, size: int, preserved: Sequence[nn.Linear] = ()) -> None:
        super().__init__()
        # In a tuple, so that the outputs are not submodules a second time.
        self._preserved = tuple(preserved)
        for name in ("mean", "square", "weight"):
            self.register_buffer(name, torch.zeros(size, dtype=torch.float64))

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (K,), float64; 0 and 1 where there was no update yet."""
        known = self.weight > 0
        weight = self.weight.clamp(min=torch.finfo(torch.float64).tiny)
        mean = self.mean / weight
        variance = (self.square / weight - mean.square()).clamp(min=LEAST_VARIANCE)
        return torch.where(known, mean, 0.0), torch.where(known, variance, 1.0).sqrt()

    def normalize(self, values: Tensor) -> Tensor:
        """Values (..., N) minus the mean, over the deviation."""
        mean, deviation = self.statistics()
        return ((values - mean) / deviation).to(values.dtype)

    def denormalize(self, values: Tensor) -> Tensor:
        """The inverse of `normalize`."""
        mean, deviation = self.statistics()
        return (values * deviation + mean).to(values.dtype)

    @torch.no_grad()
    def update(self, targets: Tensor, mask: Tensor, reduce: Reduce | None = None) -> None:
        """Takes the targets of a batch of experience into account.

        Args:
            targets: (R, N), in units of the reward.
            mask: (R, N) bool, which of them count; a statistic with none stays as it is.
            reduce: sums a tensor over the learners, so that all have the statistics of all.
        """
        counted = mask.double()
        values = targets.double() * counted
        sums = torch.stack([counted.sum(0), values.sum(0), (values * targets.double()).sum(0)])
        if self.mean.numel() == 1:
            sums = sums.sum(dim=1, keepdim=True)
        count, total, squares = (sums if reduce is None else reduce(sums)).unbind()
        known, old_mean, old_deviation = self.weight > 0, *self.statistics()
        keep = torch.where(count > 0, DECAY, 1.0)
        count = count.clamp(min=1)
        for average, new in ((self.mean, total / count), (self.square, squares / count), (self.weight, 1.0)):
            average.mul_(keep).add_((1 - keep) * new)
        if self._preserved:
            mean, deviation = self.statistics()
            scales = torch.where(known, old_deviation / deviation, 1.0)
            shifts = torch.where(known, (old_mean - mean) / deviation, 0.0)
            for output, scale, shift in zip(self._preserved, scales.float(), shifts.float(), strict=True):
                output.weight.mul_(scale)
                output.bias.mul_(scale).add_(shift)
