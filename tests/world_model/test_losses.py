"""Each loss against numbers worked out by hand."""

import math

import pytest
import torch

from rllib_mamba.world_model.losses import (
    action_information_loss,
    action_mask_loss,
    balanced_kl,
    continue_loss,
    reconstruction_loss,
    reward_loss,
)

LOG2, LOG3 = math.log(2), math.log(3)


def test_reconstruction_is_summed_over_features_and_averaged_over_all_items():
    reconstruction = torch.tensor([[[1.0, 0.0], [7.0, 7.0]], [[3.0, 0.5], [0.0, 0.0]]])
    alive = torch.tensor([[True, False], [True, True]])
    # Smooth L1: 0.5 e^2 below 1, |e| - 0.5 above: (0.5 + 0) + masked + (2.5 + 0.125) + 0, over four items.
    loss = reconstruction_loss(reconstruction, torch.zeros(2, 2, 2), alive)
    assert loss.item() == pytest.approx((0.5 + 2.625) / 4)


def test_reward_is_smooth_l1():
    assert reward_loss(torch.tensor([0.5, 3.0]), torch.tensor([0.0, 0.0])).item() == pytest.approx((0.125 + 2.5) / 2)


def test_continue_is_the_likelihood_of_going_on():
    logits = torch.tensor([LOG3, LOG3])  # probability 3/4
    loss = continue_loss(logits, torch.tensor([False, True]))
    assert loss.item() == pytest.approx((math.log(4 / 3) + math.log(4)) / 2)


def test_legal_actions_are_summed_over_actions():
    logits = torch.tensor([[[0.0, LOG3, -LOG3]]])
    loss = action_mask_loss(logits, torch.tensor([[[True, True, True]]]))
    assert loss.item() == pytest.approx(LOG2 + math.log(4 / 3) + math.log(4), rel=1e-6)


def test_action_information_counts_masked_items_in_the_mean():
    logits = torch.tensor([[[LOG3, 0.0], [100.0, -100.0]]])
    loss = action_information_loss(logits, torch.tensor([[0, 1]]), torch.tensor([[True, False]]))
    assert loss.item() == pytest.approx(math.log(4 / 3) / 2)


def test_kl_is_the_mean_over_categoricals():
    prior = torch.zeros(1, 4)
    posterior = torch.tensor([[LOG3, 0.0, 0.0, 0.0]])
    expected = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert balanced_kl(prior, posterior, 2).tolist() == pytest.approx([expected / 2], rel=1e-5)


def test_kl_gradient_is_divided_between_prior_and_posterior():
    torch.manual_seed(0)
    prior = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    posterior = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    plain = torch.distributions.kl_divergence(
        torch.distributions.Categorical(logits=posterior), torch.distributions.Categorical(logits=prior)
    )
    for_prior, for_posterior = torch.autograd.grad(plain.sum(), [prior, posterior])
    actual = torch.autograd.grad(balanced_kl(prior, posterior, 1).sum(), [prior, posterior])
    torch.testing.assert_close(actual[0], 0.8 * for_prior, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(actual[1], 0.2 * for_posterior, rtol=1e-4, atol=1e-6)
    own = torch.autograd.grad(balanced_kl(prior, posterior, 1, 0.5).sum(), [prior])[0]
    torch.testing.assert_close(own, 0.5 * for_prior, rtol=1e-4, atol=1e-6)
