"""The unit of the reward loss."""

import pytest
import torch

from rllib_mamba.world_model import RewardUnit, mean_square
from rllib_mamba.world_model.losses import normalised_reward_loss


def _after(batches, unit=None):
    unit = unit or RewardUnit()
    for batch in batches:
        unit = unit.after(mean_square(batch))
    return unit


def test_unit_is_the_root_mean_square_of_rewards_of_one_scale():
    for scale in (0.01, 1.0, 50.0):
        batches = [scale * torch.tensor([[3.0, 0.0], [0.0, 4.0]])] * 7
        assert float(_after(batches).value) == pytest.approx(2.5 * scale)


def test_unit_is_one_before_any_reward():
    assert float(RewardUnit().value) == 1.0
    assert float(_after([torch.zeros(2, 3)]).value) == 1.0


def test_unit_follows_rewards_that_grow():
    unit = _after([torch.ones(4)] * 50)
    later = _after([10 * torch.ones(4)] * 500, unit)
    assert float(unit.value) == pytest.approx(1.0)
    assert float(later.value) == pytest.approx(10.0, rel=0.01)


def test_unit_goes_on_from_its_numbers():
    unit = _after([torch.rand(5)] * 3)
    restored = RewardUnit(float(unit.mean_square), unit.weight)
    assert float(_after([torch.ones(2)], restored).value) == float(_after([torch.ones(2)], unit).value)


def test_loss_does_not_depend_on_the_scale_of_rewards():
    prediction, reward = torch.randn(4, 3), torch.randn(4, 3)
    loss = normalised_reward_loss(prediction, reward, torch.tensor(1.0))
    for scale in (0.01, 100.0):
        scaled = normalised_reward_loss(scale * prediction, scale * reward, torch.tensor(scale))
        assert float(scaled) == pytest.approx(float(loss), rel=1e-5)


def test_best_prediction_of_an_unlikely_great_reward_is_its_mean():
    rewards = torch.tensor([0.0] * 4 + [1.0])
    unit = RewardUnit().after(mean_square(rewards)).value
    guesses = torch.linspace(0, 1, 101)
    losses = [float(normalised_reward_loss(guess.expand(5), rewards, unit)) for guess in guesses]
    assert float(guesses[losses.index(min(losses))]) == pytest.approx(0.2, abs=0.011)
