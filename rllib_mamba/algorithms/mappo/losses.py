"""The critic's loss and how well it predicts; the policy's loss is `rllib_mamba.imagination.policy_loss`."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def value_errors(
    value: Tensor, old_value: Tensor, target: Tensor, clip: float | None, huber_delta: float | None
) -> Tensor:
    """Elementwise loss of values against their targets, all of one shape and in the same units.

    With `clip` a value that has moved by more than that from the old one loses nothing by moving back: the loss is the
    larger of that of the value and that of the value held within old_value +- clip (the publication's code).

    Args:
        value: of the network that learns.
        old_value: before the update.
        target: what it should be.
        clip: above 0, or None.
        huber_delta: error from which the Huber loss is linear; None for half the squared error throughout.
    """

    def loss(prediction: Tensor) -> Tensor:
        if huber_delta is None:
            return 0.5 * (target - prediction).square()
        return functional.huber_loss(prediction, target, reduction="none", delta=huber_delta)

    if clip is None:
        return loss(value)
    return loss(value).maximum(loss(old_value + (value - old_value).clamp(-clip, clip)))


def explained_variance(value: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """1 - Var(target - value) / Var(target) over the entries of `mask`; 0 where targets do not vary."""
    target, error = target[mask], (target - value)[mask]
    variance = target.var(correction=0)
    return (1 - error.var(correction=0) / variance).nan_to_num(0.0, 0.0, 0.0)
