"""Linear layers and the recurrent cell against torch's own, forward and backward."""

import pytest
import torch

from rllib_mamba.world_model.features import IndexedFeatures
from rllib_mamba.world_model.linear import FEWEST_ROWS, Linear, constant_weights
from rllib_mamba.world_model.recurrence import GRUCell

C, K, D, O = 5, 7, 6, 9  # noqa: E741


def features(rows: int) -> IndexedFeatures:
    torch.manual_seed(0)
    return IndexedFeatures(torch.randint(K, (rows, 3, C)).to(torch.uint8), torch.randn(rows, 3, D), K)


def gradients(layer: torch.nn.Module, outputs: torch.Tensor, *inputs: torch.Tensor) -> list[torch.Tensor]:
    torch.manual_seed(1)
    return list(torch.autograd.grad(outputs, [*inputs, *layer.parameters()], torch.randn(outputs.shape)))


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("rows", [1, 2 * FEWEST_ROWS])
class TestLinear:
    def test_is_torchs(self, rows, relu):
        inputs = features(rows).dense().requires_grad_()
        layer, expected = same(Linear(C * K + D, O), torch.nn.Linear(C * K + D, O))
        outputs, wanted = layer(inputs, relu=relu), expected(inputs)
        wanted = torch.relu(wanted) if relu else wanted
        torch.testing.assert_close(outputs, wanted)
        for actual, reference in zip(
            gradients(layer, outputs, inputs), gradients(expected, wanted, inputs), strict=True
        ):
            torch.testing.assert_close(actual, reference)

    def test_class_indices_stand_for_one_hots(self, rows, relu):
        indexed = features(rows)
        layer, expected = same(Linear(C * K + D, O), torch.nn.Linear(C * K + D, O))
        outputs, wanted = layer(indexed, relu=relu), expected(indexed.dense())
        wanted = torch.relu(wanted) if relu else wanted
        assert outputs.shape == (rows, 3, O)
        torch.testing.assert_close(outputs, wanted)
        for actual, reference in zip(gradients(layer, outputs), gradients(expected, wanted), strict=True):
            torch.testing.assert_close(actual, reference)


@pytest.mark.parametrize("rows", [1, 2 * FEWEST_ROWS])
def test_recurrent_cell_is_torchs(rows):
    inputs, state = (torch.randn(3 * rows, size, requires_grad=True) for size in (O, D))
    cell, expected = same(GRUCell(O, D), torch.nn.GRUCell(O, D))
    outputs, wanted = cell(inputs, state), expected(inputs, state)
    torch.testing.assert_close(outputs, wanted)
    for actual, reference in zip(
        gradients(cell, outputs, inputs, state), gradients(expected, wanted, inputs, state), strict=True
    ):
        torch.testing.assert_close(actual, reference)


def same(layer: torch.nn.Module, other: torch.nn.Module) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Both with the parameters of the first."""
    other.load_state_dict(layer.state_dict())
    return layer, other


def test_indexed_features_are_the_features():
    indexed = features(4)
    dense = indexed.dense()
    assert dense.shape == indexed.shape == (4, 3, C * K + D)
    assert torch.equal(dense[..., : C * K].unflatten(-1, (C, K)).argmax(-1), indexed.latent.long())
    again = IndexedFeatures.of(dense[..., : C * K], dense[..., C * K :], K)
    assert torch.equal(again.latent, indexed.latent)
    assert torch.equal(indexed[torch.tensor([2, 0])].dense(), dense[[2, 0]])
    assert torch.equal(indexed.flatten(0, 1).dense(), dense.flatten(0, 1))
    assert torch.equal(torch.stack([each.dense() for each in indexed]), dense)


@pytest.mark.parametrize("indexed", [False, True])
def test_mixed_precision_multiplies_in_bfloat16_and_keeps_gradients_in_float32(indexed):
    inputs = features(FEWEST_ROWS)
    inputs = inputs if indexed else inputs.dense()
    layer = Linear(C * K + D, O)
    exact = layer(inputs)
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        rounded = layer(inputs)
        # Without the gradient, which differs where rounding moves a value across zero.
        torch.testing.assert_close(layer(inputs, relu=True), rounded.relu())
    assert rounded.dtype is torch.bfloat16
    torch.testing.assert_close(rounded.float(), exact, rtol=0.02, atol=0.02)
    for actual, reference in zip(gradients(layer, rounded), gradients(layer, exact), strict=True):
        assert actual.dtype is torch.float32
        torch.testing.assert_close(actual, reference, rtol=0.05, atol=0.05 * float(reference.abs().max()))


class TestConstantWeights:
    def layer_and_inputs(self):
        torch.manual_seed(0)
        return Linear(C * K + D, O), features(FEWEST_ROWS)

    def test_gradients_are_the_same_within(self):
        layer, indexed = self.layer_and_inputs()
        for inputs in (indexed, indexed.dense()):
            expected = gradients(layer, layer(inputs))
            with constant_weights(layer):
                found = [gradients(layer, layer(inputs)) for _ in range(2)]
            for each in found:
                for actual, reference in zip(each, expected, strict=True):
                    assert torch.equal(actual, reference)

    def test_a_change_of_the_weights_counts_from_the_next_block_on(self):
        layer, indexed = self.layer_and_inputs()
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=False), torch.no_grad():
            for inputs in (indexed, indexed.dense()):
                with constant_weights(layer):
                    layer(inputs)
                layer.weight.mul_(2)
                with constant_weights(layer):
                    assert torch.equal(layer(inputs), layer(inputs))
                    doubled = layer(inputs)
                assert torch.equal(doubled, layer(inputs))

    def test_ends_with_its_block(self):
        layer, indexed = self.layer_and_inputs()

        def fail():
            with constant_weights(layer):
                layer(indexed)
                raise RuntimeError

        with pytest.raises(RuntimeError):
            fail()
        with torch.no_grad():
            layer.weight.zero_()
        torch.testing.assert_close(layer(indexed), layer.bias.expand(len(indexed), 3, -1))
