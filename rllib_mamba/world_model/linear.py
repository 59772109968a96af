"""Linear layers: by the faster of torch's libraries of matrix products, and by gathering where inputs are one-hot.

Within `torch.autocast` to bfloat16 the products are in that precision, their inputs and outputs, too. Weights and their
gradients, which a recurrent model adds up over many steps, stay in float32.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
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


class WeightForms:
    """A weight (O, I) in the forms that products need, each made once, so for as long as the weight stays as it is."""

    def __init__(self, weight: Tensor) -> None:
        self._weight = weight.detach()
        self._forms: dict[tuple[torch.dtype, int], Tensor] = {}

    def right(self, dtype: torch.dtype, begin: int = 0) -> Tensor:
        """The weight without its first `begin` columns, (O, I - begin)."""
        return self._form((dtype, begin), lambda: self._weight[:, begin:].to(dtype).contiguous())

    def table(self, dtype: torch.dtype, num_picks: int) -> Tensor:
        """The first `num_picks` columns as rows, (num_picks, O), to be picked by class indices."""
        return self._form((dtype, -num_picks), lambda: self._weight[:, :num_picks].to(dtype).t().contiguous())

    def _form(self, key: tuple[torch.dtype, int], make: Callable[[], Tensor]) -> Tensor:
        if key not in self._forms:
            self._forms[key] = make()
        return self._forms[key]


class KeepsForms(nn.Module):
    """A module that knows, within `constant_weights`, the forms of its weights."""

    _forms: dict[str, WeightForms] | None = None

    def forms_of(self, name: str) -> WeightForms:
        """Of the weight of this name."""
        if self._forms is None:
            return WeightForms(getattr(self, name))
        if name not in self._forms:
            self._forms[name] = WeightForms(getattr(self, name))
        return self._forms[name]


@contextmanager
def constant_weights(*modules: nn.Module) -> Iterator[None]:
    """While the block runs no weight of these modules may change: what depends on weights alone is made once."""
    keepers = [part for module in modules for part in module.modules() if isinstance(part, KeepsForms)]
    for keeper in keepers:
        keeper._forms = {}
    try:
        yield
    finally:
        for keeper in keepers:
            keeper._forms = None


class Linear(KeepsForms, nn.Linear):
    """`torch.nn.Linear`, with the same parameters and values up to rounding, faster on a CPU with AVX-512.

    There torch's float32 products run in MKL, which on processors of other makers than its own does not use the widest
    instructions; oneDNN, which torch has for its other number formats, does.
    """

    def forward(self, inputs: Features, relu: bool = False) -> Tensor:
        """(..., I) to (..., O), then ReLU if `relu`."""
        forms = self.forms_of("weight")
        if isinstance(inputs, IndexedFeatures):
            return linear_of_indexed(inputs, self.weight, self.bias, relu, forms)
        return linear(inputs, self.weight, self.bias, relu, forms)


def linear(
    inputs: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    relu: bool = False,
    forms: WeightForms | None = None,
) -> Tensor:
    """inputs (..., I) times weight (O, I) transposed, plus bias (O): (..., O); then ReLU if `relu`.

    `forms` are those of the weight, where it has been here before.
    """
    dtype = product_type(inputs)
    mixed = dtype is torch.bfloat16
    if not mixed and not _is_for_onednn(inputs):
        outputs = F.linear(inputs, weight, bias)
        return torch.relu(outputs) if relu else outputs
    rows = inputs.reshape(-1, inputs.shape[-1])
    if mixed or (torch.is_grad_enabled() and (inputs.requires_grad or weight.requires_grad)):
        outputs = _Linear.apply(rows, weight, bias, relu, dtype, forms or WeightForms(weight))
    else:
        outputs = product(rows, weight, bias, relu)
    return outputs.view(*inputs.shape[:-1], -1)


def linear_of_indexed(
    features: IndexedFeatures, weight: Tensor, bias: Tensor, relu: bool = False, forms: WeightForms | None = None
) -> Tensor:
    """`linear` of the features [z, h] (..., I); no gradient flows to them."""
    outputs: Tensor = _GatheredLinear.apply(features, weight, bias, relu, forms or WeightForms(weight))
    return outputs.view(*features.shape[:-1], -1)


def full_precision(values: Tensor) -> Tensor:
    """bfloat16 values as float32, others as they are."""
    return values.float() if values.dtype is torch.bfloat16 else values


def product_type(inputs: Tensor) -> torch.dtype:
    """The format in which these inputs are multiplied: bfloat16 within `torch.autocast` to it, else their own."""
    device = inputs.device.type
    if not torch.amp.is_autocast_available(device):
        return inputs.dtype
    mixed = torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) is torch.bfloat16
    return torch.bfloat16 if mixed else inputs.dtype


def without_autocast(device: torch.device) -> AbstractContextManager[None]:
    """A block in which the types of tensors are what they are."""
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def _is_for_onednn(inputs: Tensor) -> bool:
    return (
        inputs.device.type == "cpu"
        and inputs.numel() >= FEWEST_ROWS * inputs.shape[-1] > 0
        and ((inputs.dtype is torch.float32 and has_onednn()) or (inputs.dtype is torch.bfloat16 and _has_bfloat16()))
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


@cache
def _has_bfloat16() -> bool:
    """Whether oneDNN multiplies bfloat16 numbers; on processors without instructions for it, as float32 ones."""
    return has_onednn() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


@cache
def has_bfloat16_instructions() -> bool:
    """Whether the processor multiplies bfloat16 numbers, which makes even small products of them faster."""
    # Older versions of torch cannot tell.
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return _has_bfloat16() and bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def product(rows: Tensor, weight: Tensor, bias: Tensor | None = None, relu: bool = False) -> Tensor:
    """rows (R, I) times weight (O, I) transposed, plus bias (O): (R, O); then ReLU if `relu`. All of one type."""
    # oneDNN reads a left matrix written column by column in bfloat16 as it is, if it is called in torch's own way.
    if not _is_for_onednn(rows) or (rows.dtype is torch.bfloat16 and not rows.is_contiguous()):
        outputs = F.linear(rows, weight, bias)
        return outputs.relu_() if relu else outputs
    activation = "relu" if relu else "none"
    result: Tensor = torch.ops.mkldnn._linear_pointwise(_plain(rows), _plain(weight), bias, activation, [], "")
    return result


def gradient_of_weight(gradient: Tensor, rows: Tensor) -> Tensor:
    """gradient (R, O) transposed times rows (R, I), at least float32."""
    if gradient.dtype is not torch.float32 or not _is_for_onednn(gradient):
        return full_precision(gradient.t() @ rows)
    # The left matrix of the two is written out transposed, which torch does faster than oneDNN.
    if gradient.shape[1] > rows.shape[1]:
        return product(rows.t().contiguous(), gradient.t()).t()
    return product(gradient.t().contiguous(), rows.t())


def _plain(matrix: Tensor) -> Tensor:
    # A cut out of a larger matrix would be multiplied by oneDNN's slow reference program.
    return matrix if matrix.is_contiguous() or matrix.t().is_contiguous() else matrix.contiguous()


class _Linear(Function):
    """Products in `dtype`; gradients of weight and bias in at least float32."""

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        relu: bool,
        dtype: torch.dtype,
        forms: WeightForms,
    ) -> Tensor:
        rows, weight = rows.to(dtype), forms.right(dtype)
        with without_autocast(rows.device):
            outputs = product(rows, weight, None if bias is None else bias.to(dtype), relu)
        ctx.save_for_backward(rows, weight, outputs if relu else None)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, outputs = ctx.saved_tensors
        of_rows, of_weight, of_bias, *_ = ctx.needs_input_grad
        with without_autocast(rows.device):
            gradient = before_relu(gradient, outputs)
            return (
                product(gradient, weight.t()) if of_rows else None,
                gradient_of_weight(gradient, rows) if of_weight else None,
                sum_of_rows(gradient) if of_bias else None,
                None,
                None,
                None,
            )


class _GatheredLinear(Function):
    """Of one-hots, given as the rows of the weight that they pick, beside plain inputs (R, D)."""

    @staticmethod
    def forward(
        ctx: Any, features: IndexedFeatures, weight: Tensor, bias: Tensor, relu: bool, forms: WeightForms
    ) -> Tensor:
        plain = features.deterministic.detach().flatten(0, -2)
        dtype = product_type(plain)
        plain, num_picks = plain.to(dtype), weight.shape[1] - plain.shape[1]
        with without_autocast(plain.device):
            # The many terms of these sums are added up in float32 in either precision.
            outputs = F.embedding_bag(features.picks, forms.table(dtype, num_picks), mode="sum")
            outputs.add_(product(plain, forms.right(dtype, num_picks), bias.to(dtype)))
        if relu:
            outputs.relu_()
        ctx.features = features
        ctx.save_for_backward(plain, outputs if relu else None)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        plain, outputs = ctx.saved_tensors
        with without_autocast(plain.device):
            gradient = before_relu(gradient, outputs)
            of_plain = gradient_of_weight(gradient, plain)
            # For every row of the weight the sum of the gradients of those who picked it: sorted, so that each is
            # one gathering, too. Adding them up one by one takes many times as long.
            item, begin = ctx.features.by_pick
            of_gathered = full_precision(F.embedding_bag(item, gradient.contiguous(), begin, mode="sum"))
        return None, torch.cat([of_gathered.t(), of_plain], 1), sum_of_rows(gradient), None, None


def before_relu(gradient: Tensor, outputs: Tensor | None) -> Tensor:
    """The gradient at the outputs (R, O) of a ReLU, as it is before it; `outputs` None stands for no ReLU."""
    return gradient if outputs is None else torch.ops.aten.threshold_backward(gradient, outputs, 0)


def sum_of_rows(gradient: Tensor) -> Tensor:
    """(O) of (R, O), in at least float32."""
    return gradient.sum(0, dtype=torch.float32 if gradient.dtype is torch.bfloat16 else gradient.dtype)
