"""Observations in units of their own, so that a feature's scale does not decide how well it is learned."""

import torch
from torch import Tensor, nn

from rllib_mamba.moments import Reduce, mean_and_variance, merged, moment_sums

DECAY = 0.999
LEAST_DEVIATION = 1e-2
CONSTANT = 1e-6


class ObservationNormalizer(nn.Module):
    """Mean and standard deviation of every feature over the observations learned from, those of late weighing more.

    A feature that has not varied keeps the deviation 1; others have at least 0.01. Before the first update nothing is
    changed.
    """

    mean: Tensor
    variance: Tensor
    weight: Tensor

    def __init__(self, observation_size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(observation_size))
        self.register_buffer("variance", torch.ones(observation_size))
        # The number of observations, of which older ones have faded.
        self.register_buffer("weight", torch.zeros(1))

    @property
    def deviation(self) -> Tensor:
        """What features are counted in, (O,)."""
        deviation = self.variance.sqrt()
        return torch.where(deviation > CONSTANT, deviation.clamp(min=LEAST_DEVIATION), 1.0)

    def forward(self, observation: Tensor) -> Tensor:
        """Observations (..., O) minus the mean, over the deviation."""
        return (observation - self.mean) / self.deviation

    def inverse(self, normalised: Tensor) -> Tensor:
        """The observations (..., O) that `forward` gives these for."""
        return normalised * self.deviation + self.mean

    @torch.no_grad()
    def update(self, observation: Tensor, alive: Tensor, reduce: Reduce | None = None) -> None:
        """Takes a batch into account.

        Args:
            observation: (..., O).
            alive: (...) bool, which of them are observations and not padding.
            reduce: sums a tensor over the learners, so that all have the statistics of all.
        """
        own = moment_sums(observation.flatten(0, -2), alive.flatten().unsqueeze(-1))
        sums = own if reduce is None else reduce(own)
        count = sums[0]
        self.weight.mul_(DECAY).add_(count[:1])
        # RLlib keeps weights in single precision: what is stored here is what a checkpoint restores.
        mean, variance = merged(self.mean, self.variance, *mean_and_variance(sums), count / self.weight.clamp(min=1))
        self.mean.copy_(mean)
        self.variance.copy_(variance)
