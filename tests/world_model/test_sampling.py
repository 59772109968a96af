"""Samplers: one-hot, unbiased, and never an impossible class."""

import pytest
import torch

from rllib_mamba.world_model.sampling import ModeSampler, RandomSampler, straight_through

SAMPLERS = [RandomSampler(), ModeSampler()]


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_samples_are_one_hot_of_the_given_shape_and_type(sampler, dtype):
    probabilities = torch.softmax(torch.randn(7, 5, 3, dtype=dtype), -1)
    sample = sampler.one_hot(probabilities)
    assert sample.shape == probabilities.shape
    assert sample.dtype == dtype
    assert torch.equal(sample.sum(-1), torch.ones(7, 5, dtype=dtype))
    assert set(sample.unique().tolist()) == {0.0, 1.0}


def test_random_samples_have_the_given_frequencies():
    torch.manual_seed(0)
    probabilities = torch.tensor([0.5, 0.0, 0.2, 0.3])
    frequency = RandomSampler().one_hot(probabilities.expand(40_000, 4)).mean(0)
    assert frequency[1] == 0
    torch.testing.assert_close(frequency, probabilities, atol=0.015, rtol=0)
    coins = RandomSampler().bernoulli(torch.full((40_000,), 0.3))
    assert coins.mean().item() == pytest.approx(0.3, abs=0.015)


def test_random_samples_are_independent():
    torch.manual_seed(0)
    first, second = RandomSampler().one_hot(torch.full((40_000, 2, 2), 0.5))[..., 0].unbind(-1)
    assert (first == second).float().mean().item() == pytest.approx(0.5, abs=0.015)


def test_impossible_classes_are_never_drawn():
    torch.manual_seed(0)
    probabilities = torch.softmax(torch.randn(100_000, 6), -1)
    probabilities[:, [0, 3, 5]] = 0
    probabilities /= probabilities.sum(-1, keepdim=True)
    assert RandomSampler().one_hot(probabilities)[:, [0, 3, 5]].sum() == 0


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-24])
def test_impossible_classes_are_not_drawn_at_the_ends_of_the_unit_interval(monkeypatch, uniform):
    monkeypatch.setattr(torch, "rand_like", lambda like: torch.full_like(like, uniform))
    probabilities = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.1, 0.0], [0.0, 0.5 - 2**-25, 0.0]])
    assert RandomSampler().one_hot(probabilities)[:, 1].tolist() == [1, 1, 1]


def test_random_samples_follow_torch_seed():
    probabilities = torch.full((50, 4), 0.25)
    torch.manual_seed(3)
    first = RandomSampler().one_hot(probabilities)
    second = RandomSampler().one_hot(probabilities)
    torch.manual_seed(3)
    assert torch.equal(RandomSampler().one_hot(probabilities), first)
    assert not torch.equal(first, second)


def test_mode_sampler_takes_the_most_probable():
    assert ModeSampler().one_hot(torch.tensor([0.2, 0.5, 0.3])).tolist() == [0, 1, 0]
    assert ModeSampler().bernoulli(torch.tensor([0.4, 0.5, 0.6])).tolist() == [0, 0, 1]


def test_straight_through_has_the_gradient_of_the_probabilities():
    logits = torch.tensor([0.1, 0.7, -0.3], requires_grad=True)
    weights = torch.tensor([1.0, 2.0, 4.0])
    probabilities = torch.softmax(logits, -1)
    sample = straight_through(ModeSampler().one_hot(probabilities), probabilities)
    torch.testing.assert_close(sample.detach(), torch.tensor([0.0, 1.0, 0.0]))
    (expected,) = torch.autograd.grad((probabilities * weights).sum(), logits, retain_graph=True)
    (actual,) = torch.autograd.grad((sample * weights).sum(), logits)
    torch.testing.assert_close(actual, expected)
