"""How discrete variables are drawn: at random, or by their mode where a result must be reproducible."""

from typing import Protocol

import torch
from torch import Tensor


class Sampler(Protocol):
    """Draws from given probabilities. Samples carry no gradient."""

    def index(self, probabilities: Tensor) -> Tensor:
        """Class indices (...) int64 drawn from probabilities (..., K)."""
        ...

    def one_hot(self, probabilities: Tensor) -> Tensor:
        """One-hot samples over the last axis, of the shape and dtype of `probabilities` (..., K)."""
        ...

    def bernoulli(self, probabilities: Tensor) -> Tensor:
        """Zeros and ones of the shape and dtype of `probabilities`."""
        ...


class RandomSampler:
    """Independent draws from torch's global random state."""

    def index(self, probabilities: Tensor) -> Tensor:
        """Inverse transform: the class in whose share of the cumulative sum a uniform number falls."""
        cumulative = probabilities.detach().cumsum(-1)
        # Below the total even after rounding: a class of probability zero at the end is never drawn.
        threshold = torch.rand_like(cumulative[..., -1:]) * cumulative[..., -1:]
        # Ones and zeros of the type at hand: torch counts them several times as fast as it counts truth values.
        index = cumulative.le_(threshold).sum(-1, dtype=torch.float32)
        return index.clamp_(max=probabilities.shape[-1] - 1).long()

    def one_hot(self, probabilities: Tensor) -> Tensor:
        """One-hots of what `index` draws."""
        return to_one_hot(self.index(probabilities), probabilities)

    def bernoulli(self, probabilities: Tensor) -> Tensor:
        """Independent coin flips."""
        return torch.bernoulli(probabilities.detach())


class ModeSampler:
    """The most probable outcome: nothing is left to chance."""

    def index(self, probabilities: Tensor) -> Tensor:
        """The most probable class."""
        return probabilities.argmax(-1)

    def one_hot(self, probabilities: Tensor) -> Tensor:
        """One-hots of the most probable class."""
        return to_one_hot(self.index(probabilities), probabilities)

    def bernoulli(self, probabilities: Tensor) -> Tensor:
        """One where the probability exceeds one half."""
        return (probabilities > 0.5).to(probabilities.dtype)


def to_one_hot(index: Tensor, like: Tensor) -> Tensor:
    """One-hots (..., K) of class indices (...), with the number of classes, dtype and device of `like`."""
    return torch.zeros_like(like).scatter_(-1, index.unsqueeze(-1), 1.0)


def straight_through(sample: Tensor, probabilities: Tensor) -> Tensor:
    """The value of `sample` with the gradient of `probabilities` (Bengio et al., 2013)."""
    if not (torch.is_grad_enabled() and probabilities.requires_grad):
        return sample
    return sample + probabilities - probabilities.detach()
