"""The critic's loss and the normalisation of its targets."""

import pytest
import torch
from torch import nn

from rllib_mamba.algorithms.mappo.losses import explained_variance, value_errors
from rllib_mamba.algorithms.normalization import RunningNormalizer


@pytest.mark.parametrize(
    ("value", "old", "target", "clip", "delta", "expected"),
    [
        (3.0, 0.0, 0.0, None, None, 4.5),
        (3.0, 0.0, 0.0, None, 1.0, 2.5),  # Linear from 1 on: 1 * (3 - 0.5).
        (1.0, 0.0, 2.0, 0.25, None, 0.5 * 1.75**2),  # Towards the target by more than the clip.
        (1.0, 0.0, -2.0, 0.25, None, 0.5 * 3.0**2),  # Away from it: the clip does not make that cheaper.
        (0.125, 0.0, 2.0, 0.25, None, 0.5 * 1.875**2),  # Within the clip.
        (1.0, 0.0, 2.0, 0.25, 1.0, 1.75 - 0.5),
    ],
)
def test_value_errors(
    value: float, old: float, target: float, clip: float | None, delta: float | None, expected: float
) -> None:
    columns = [torch.tensor([number]) for number in (value, old, target)]
    assert value_errors(*columns, clip, delta).item() == pytest.approx(expected)


def test_a_value_far_from_the_old_one_is_moved_back_only_if_that_is_better() -> None:
    value = torch.tensor([1.0, 1.0], requires_grad=True)
    value_errors(value, torch.zeros(2), torch.tensor([2.0, -2.0]), 0.25, 10.0).sum().backward()
    assert value.grad is not None
    assert value.grad.tolist() == [0.0, 3.0]


def test_explained_variance_looks_at_the_mask_alone() -> None:
    target = torch.tensor([1.0, 2.0, 3.0, 100.0])
    mask = torch.tensor([True, True, True, False])
    assert explained_variance(target, target, mask) == 1
    assert explained_variance(torch.full((4,), 7.0), target, mask) == 0
    assert explained_variance(target, torch.ones(4), mask) == 0


def test_statistics_are_those_of_all_targets_so_far() -> None:
    first, second = torch.tensor([[1.0], [3.0]]), torch.tensor([[10.0], [20.0]])
    normalizer = RunningNormalizer(1)
    values = torch.tensor([[4.0]])
    assert normalizer.normalize(values).equal(values)
    for targets in (first, second):
        normalizer.update(targets, torch.ones_like(targets, dtype=torch.bool))
    everything = torch.cat([first, second])
    # The older one counts a hundred-thousandth less.
    torch.testing.assert_close(normalizer.mean, everything.mean(0), rtol=1e-4, atol=0)
    torch.testing.assert_close(normalizer.deviation, everything.std(0, correction=0), rtol=1e-4, atol=0)
    torch.testing.assert_close(normalizer.denormalize(normalizer.normalize(values)), values)


def test_masked_targets_do_not_count_and_agents_have_statistics_of_their_own() -> None:
    targets = torch.tensor([[1.0, 10.0, 5.0], [3.0, 99.0, 5.0]])
    mask = torch.tensor([[True, True, False], [True, False, False]])
    joint, own = RunningNormalizer(1), RunningNormalizer(3)
    joint.update(targets, mask)
    own.update(targets, mask)
    torch.testing.assert_close(joint.mean, torch.tensor([14 / 3]))
    torch.testing.assert_close(own.mean, torch.tensor([2.0, 10.0, 0.0]))
    # A deviation of nothing would make targets infinite.
    assert own.deviation.tolist() == pytest.approx([1.0, 0.1, 1.0])


def test_several_learners_have_the_statistics_of_one_on_all_targets() -> None:
    targets = torch.tensor([[1.0], [2.0], [6.0], [7.0]])
    mask = torch.ones_like(targets, dtype=torch.bool)
    alone, shared = RunningNormalizer(1), RunningNormalizer(1)
    alone.update(targets, mask)
    other = torch.tensor([[2.0], [6.0 + 7.0], [36.0 + 49.0]], dtype=torch.float64)
    shared.update(targets[:2], mask[:2], lambda sums: sums + other)
    torch.testing.assert_close(shared.mean, alone.mean)
    torch.testing.assert_close(shared.deviation, alone.deviation)


def test_many_updates_far_from_zero_lose_nothing() -> None:
    torch.manual_seed(0)
    normalizer = RunningNormalizer(1)
    for _ in range(300):
        normalizer.update(torch.randn(50, 1) - 2000, torch.ones(50, 1, dtype=torch.bool))
    assert normalizer.mean.item() == pytest.approx(-2000, abs=0.05)
    assert normalizer.deviation.item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("popart", [True, False])
def test_popart_changes_no_value_in_units_of_the_reward(popart: bool) -> None:
    torch.manual_seed(0)
    outputs = [nn.Linear(4, 1), nn.Linear(4, 1)]
    features = torch.randn(5, 4)
    normalizer = RunningNormalizer(2, outputs if popart else [])

    def values() -> torch.Tensor:
        return normalizer.denormalize(torch.cat([output(features) for output in outputs], dim=-1)).detach()

    mask = torch.ones(20, 2, dtype=torch.bool)
    untrained = values()
    normalizer.update(torch.randn(20, 2) + 7, mask)
    # What untrained outputs give stands for the mean.
    torch.testing.assert_close(values().mean(), untrained.mean() + 7, rtol=0.1, atol=0)
    before = values()
    for scale in (3.0, 50.0):
        normalizer.update(torch.randn(20, 2) * scale - 20, mask)
        assert torch.allclose(values(), before, rtol=1e-4, atol=1e-4) == popart
