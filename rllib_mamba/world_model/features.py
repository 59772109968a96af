"""Features of agents whose one-hot latents are kept as class indices."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class IndexedFeatures:
    """The features [z, h] with each one-hot of z as the index of its class: a 64th of the memory, for 32 classes.

    To a linear layer a one-hot is one row of its weight, so `Linear` reads these as it reads the features themselves,
    by gathering rows. There is no gradient towards z.

    Attributes:
        latent: (..., C), class indices, integers of any type.
        deterministic: (..., D), h.
        num_classes: K.
    """

    latent: Tensor
    deterministic: Tensor
    num_classes: int

    @classmethod
    def of(cls, stochastic: Tensor, deterministic: Tensor, num_classes: int) -> "IndexedFeatures":
        """From one-hots z (..., C * K) and h (..., D)."""
        latent = stochastic.unflatten(-1, (-1, num_classes)).argmax(-1)
        return cls(latent.to(index_type(num_classes)), deterministic, num_classes)

    @property
    def shape(self) -> torch.Size:
        """That of the features, (..., C * K + D)."""
        size = self.latent.shape[-1] * self.num_classes + self.deterministic.shape[-1]
        return torch.Size([*self.latent.shape[:-1], size])

    @cached_property
    def picks(self) -> Tensor:
        """(R, C) int32: for each of all R items, the places of the ones in z."""
        latent = self.latent.flatten(0, -2)
        size = latent.shape[-1] * self.num_classes
        return latent + torch.arange(0, size, self.num_classes, dtype=torch.int32, device=latent.device)

    @cached_property
    def by_pick(self) -> tuple[Tensor, Tensor]:
        """(R * C) items in the order of the places that they pick, and where each of the C * K places begins there."""
        num_picks = self.latent.shape[-1] * self.num_classes
        # Small numbers are sorted faster.
        flat = self.picks.flatten().to(torch.int16 if num_picks < 2**15 else torch.int32)
        place, order = torch.sort(flat, stable=True)
        begin = torch.searchsorted(place, torch.arange(num_picks, dtype=place.dtype, device=place.device))
        return order.div_(self.latent.shape[-1], rounding_mode="floor"), begin

    def dense(self) -> Tensor:
        """The features (..., C * K + D) themselves."""
        classes = torch.arange(self.num_classes, device=self.latent.device)
        one_hot = (self.latent.unsqueeze(-1) == classes).to(self.deterministic.dtype)
        return torch.cat([one_hot.flatten(-2), self.deterministic], -1)

    def flatten(self, start: int, end: int) -> "IndexedFeatures":
        """Join the leading axes from `start` to `end`, as `Tensor.flatten`."""
        return self._of_parts(self.latent.flatten(start, end), self.deterministic.flatten(start, end))

    def __getitem__(self, index: Tensor | slice | int) -> "IndexedFeatures":
        """Some along the first axis; a tensor holds int64 indices (R')."""
        if isinstance(index, Tensor):
            return self._of_parts(self.latent.index_select(0, index), self.deterministic.index_select(0, index))
        return self._of_parts(self.latent[index], self.deterministic[index])

    def __len__(self) -> int:
        """Length of the first axis."""
        return len(self.latent)

    def __iter__(self) -> Iterator["IndexedFeatures"]:
        """One by one along the first axis."""
        return (self[index] for index in range(len(self)))

    def _of_parts(self, latent: Tensor, deterministic: Tensor) -> "IndexedFeatures":
        return IndexedFeatures(latent, deterministic, self.num_classes)


Features = Tensor | IndexedFeatures
"""What heads, actor and critic read."""


def index_type(num_classes: int) -> torch.dtype:
    """The smallest type that holds the indices of so many classes."""
    return torch.uint8 if num_classes <= 256 else torch.int32
