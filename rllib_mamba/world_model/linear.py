"""Linear layers: by the faster of torch's libraries of matrix products, and by gathering where inputs are one-hot.

Within `torch.autocast` to bfloat16 the products are in that precision, their inputs and outputs, too. Weights and their
gradients, which a recurrent model adds up over many steps, stay in float32.
"""

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from rllib_mamba.world_model.features import Features, IndexedFeatures

# Below it, what is gained on the product is lost on the way to it.
FEWEST_ROWS = 32


class Linear(nn.Linear):
    """`torch.nn.Linear`, with the same parameters and values up to rounding, faster on a CPU with AVX-512.

    There torch's float32 products run in MKL, which on processors of other makers than its own does not use the widest
    instructions; oneDNN, which torch has for its other number formats, does.
    """

    def forward(self, inputs: Features, relu: bool = False) -> Tensor:
        """(..., I) to (..., O), then ReLU if `relu`."""
        if isinstance(inputs, IndexedFeatures):
            return linear_of_indexed(inputs, self.weight, self.bias, relu)
        return linear(inputs, self.weight, self.bias, relu)


def linear(inputs: Tensor, weight: Tensor, bias: Tensor | None = None, relu: bool = False) -> Tensor:
    """inputs (..., I) times weight (O, I) transposed, plus bias (O): (..., O); then ReLU if `relu`."""
    mixed = _is_mixed(inputs)
    if not mixed and not _is_for_onednn(inputs):
        outputs = F.linear(inputs, weight, bias)
        return torch.relu(outputs) if relu else outputs
    rows = inputs.reshape(-1, inputs.shape[-1])
    if mixed:
        outputs = _MixedLinear.apply(rows, weight, bias, relu)
    elif torch.is_grad_enabled() and (inputs.requires_grad or weight.requires_grad):
        outputs = _OneDNNLinear.apply(rows, weight, bias, relu)
    else:
        outputs = _onednn_product(rows, weight, bias, relu)
    return outputs.view(*inputs.shape[:-1], -1)


def linear_of_indexed(features: IndexedFeatures, weight: Tensor, bias: Tensor, relu: bool = False) -> Tensor:
    """`linear` of the features [z, h] (..., I); no gradient flows to them."""
    latent = features.latent.flatten(0, -2)
    offsets = torch.arange(0, latent.shape[-1] * features.num_classes, features.num_classes, device=latent.device)
    rows = latent + offsets.int()
    outputs: Tensor = _GatheredLinear.apply(rows, features.deterministic.detach().flatten(0, -2), weight, bias, relu)
    return outputs.view(*features.shape[:-1], -1)


def full_precision(values: Tensor) -> Tensor:
    """bfloat16 values as float32, others as they are."""
    return values.float() if values.dtype is torch.bfloat16 else values


def _is_mixed(inputs: Tensor) -> bool:
    device = inputs.device.type
    return torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) is torch.bfloat16


def _is_for_onednn(inputs: Tensor) -> bool:
    return (
        inputs.dtype is torch.float32
        and inputs.device.type == "cpu"
        and inputs.numel() >= FEWEST_ROWS * inputs.shape[-1] > 0
        and has_onednn()
    )


@cache
def has_onednn() -> bool:
    """Whether oneDNN's float32 products are there and faster than torch's own."""
    # Decided by the machine, never by a stopwatch: a run that is repeated must take the same way.
    return (
        torch.backends.mkldnn.is_available()
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def _onednn_product(rows: Tensor, weight: Tensor, bias: Tensor | None = None, relu: bool = False) -> Tensor:
    activation = "relu" if relu else "none"
    result: Tensor = torch.ops.mkldnn._linear_pointwise(_plain(rows), _plain(weight), bias, activation, [], "")
    return result


def _plain(matrix: Tensor) -> Tensor:
    # A cut out of a larger matrix would be multiplied by oneDNN's slow reference program.
    return matrix if matrix.is_contiguous() or matrix.t().is_contiguous() else matrix.contiguous()


def _product(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return _onednn_product(rows, weight, bias) if _is_for_onednn(rows) else F.linear(rows, weight, bias)


class _OneDNNLinear(Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None, relu: bool) -> Tensor:
        outputs = _onednn_product(rows, weight, bias, relu)
        ctx.save_for_backward(rows, weight, outputs if relu else None)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        rows, weight, outputs = ctx.saved_tensors
        if outputs is not None:
            gradient = torch.ops.aten.threshold_backward(gradient, outputs, 0)
        of_rows, of_weight, of_bias, _ = ctx.needs_input_grad
        return (
            _onednn_product(gradient, weight.t()) if of_rows else None,
            _gradient_of_weight(gradient, rows) if of_weight else None,
            gradient.sum(0) if of_bias else None,
            None,
        )


class _MixedLinear(Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None, relu: bool) -> Tensor:
        with torch.autocast(rows.device.type, enabled=False):
            rows, weight = rows.bfloat16(), weight.bfloat16()
            outputs = F.linear(rows, weight, None if bias is None else bias.bfloat16())
        if relu:
            outputs.relu_()
        ctx.save_for_backward(rows, weight, outputs if relu else None)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        rows, weight, outputs = ctx.saved_tensors
        if outputs is not None:
            gradient = torch.ops.aten.threshold_backward(gradient, outputs, 0)
        of_rows, of_weight, of_bias, _ = ctx.needs_input_grad
        with torch.autocast(rows.device.type, enabled=False):
            return (
                gradient @ weight if of_rows else None,
                _gradient_of_weight(gradient, rows) if of_weight else None,
                gradient.sum(0, dtype=torch.float32) if of_bias else None,
                None,
            )


class _GatheredLinear(Function):
    """Of one-hots, given as the rows (R, C) of the weight that they pick, beside plain inputs (R, D)."""

    @staticmethod
    def forward(ctx: Any, picked: Tensor, plain: Tensor, weight: Tensor, bias: Tensor, relu: bool) -> Tensor:
        gathered_weight, plain_weight = weight.split([weight.shape[1] - plain.shape[1], plain.shape[1]], 1)
        mixed = _is_mixed(plain)
        with torch.autocast(plain.device.type, enabled=False):
            if mixed:
                plain, plain_weight = plain.bfloat16(), plain_weight.bfloat16()
            # The many terms of these sums are in float32 in either precision.
            sums = F.embedding_bag(picked, gathered_weight.t().contiguous(), mode="sum")
            outputs = sums.add_(_product(plain, plain_weight)).add_(bias).to(plain.dtype)
        if relu:
            outputs.relu_()
        ctx.save_for_backward(picked, plain, weight, outputs if relu else None)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, Tensor, Tensor, None]:
        picked, plain, weight, outputs = ctx.saved_tensors
        if outputs is not None:
            gradient = torch.ops.aten.threshold_backward(gradient, outputs, 0)
        with torch.autocast(plain.device.type, enabled=False):
            of_plain = _gradient_of_weight(gradient, plain)
            of_gathered = _sum_by_class(picked, gradient.to(weight.dtype), weight.shape[1] - plain.shape[1]).t()
        return None, None, torch.cat([of_gathered, of_plain], 1), gradient.sum(0, dtype=weight.dtype), None


def _gradient_of_weight(gradient: Tensor, rows: Tensor) -> Tensor:
    """gradient (R, O) transposed times rows (R, I), at least float32."""
    if not _is_for_onednn(gradient):
        return full_precision(gradient.t() @ rows)
    # The left matrix of the two is written out transposed, which torch does faster than oneDNN.
    if gradient.shape[1] > rows.shape[1]:
        return _onednn_product(rows.t().contiguous(), gradient.t()).t()
    return _onednn_product(gradient.t().contiguous(), rows.t())


def _sum_by_class(picked: Tensor, values: Tensor, num_picks: int) -> Tensor:
    """(num_picks, O): for every row of a weight the sum of those values (R, O) whose item has picked (R, C) it.

    Sorted, so that each sum is one gathering, too: adding the values up one by one takes many times as long.
    """
    flat = picked.flatten().long()
    item = torch.argsort(flat, stable=True).div_(picked.shape[1], rounding_mode="floor")
    begin = torch.bincount(flat, minlength=num_picks).cumsum(0).roll(1)
    begin[0] = 0
    sums: Tensor = F.embedding_bag(item, values.contiguous(), begin, mode="sum")
    return sums
