"""The unit that rewards are counted in, so that an environment's scale of rewards does not matter."""

from typing import NamedTuple, Self

import torch
from torch import Tensor

DECAY = 0.99
SMALLEST_UNIT = 1e-3


class RewardUnit(NamedTuple):
    """The root mean square of the rewards of recent batches: an exponential average, corrected for its start at zero.

    Attributes:
        mean_square: the average before correction, a float64 scalar; a number before the first batch.
        weight: of all batches so far in it, 0 before the first.
    """

    mean_square: Tensor | float = 0.0
    weight: float = 0.0

    def after(self, mean_square: Tensor) -> Self:
        """With one more batch, whose squared rewards have this mean."""
        return type(self)(DECAY * self.mean_square + (1 - DECAY) * mean_square, DECAY * self.weight + (1 - DECAY))

    @property
    def value(self) -> Tensor:
        """The unit, a float32 scalar, at least 1e-3; 1 as long as all rewards were zero."""
        mean_square = torch.as_tensor(self.mean_square, dtype=torch.float64) / max(self.weight, 1 - DECAY)
        unit = mean_square.sqrt().clamp(min=SMALLEST_UNIT)
        return torch.where(mean_square > 0, unit, torch.ones_like(unit)).float()


def mean_square(reward: Tensor) -> Tensor:
    """Mean of the squares of rewards of any shape, a float64 scalar."""
    return reward.double().square().mean()
