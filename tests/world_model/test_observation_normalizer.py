"""Observations in units of their own."""

import pytest
import torch

from rllib_mamba.world_model import ObservationNormalizer, WorldModel, WorldModelConfig
from rllib_mamba.world_model.losses import reconstruction_loss

ALIVE = torch.ones(50, 2, dtype=torch.bool)
SCALE = torch.tensor([0.05, 1.0, 30.0])


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def _after(*batches, normalizer=None):
    normalizer = normalizer or ObservationNormalizer(3)
    for observation, alive in batches:
        normalizer.update(observation, alive)
    return normalizer


def test_statistics_are_those_of_all_batches():
    batches = [torch.randn(50, 2, 3) * SCALE + 5 for _ in range(4)]
    normalizer = _after(*((batch, ALIVE) for batch in batches))
    seen = torch.cat(batches).flatten(0, 1)
    torch.testing.assert_close(normalizer.mean, seen.mean(0), rtol=1e-2, atol=0)
    torch.testing.assert_close(normalizer.deviation, seen.std(0, unbiased=False), rtol=1e-2, atol=0)
    normalised = normalizer(seen)
    torch.testing.assert_close(normalised.std(0), torch.ones(3), rtol=2e-2, atol=0)
    torch.testing.assert_close(normalizer.inverse(normalised), seen)


def test_nothing_is_changed_before_the_first_update():
    observation = torch.randn(50, 2, 3)
    torch.testing.assert_close(ObservationNormalizer(3)(observation), observation)


def test_agents_that_are_not_there_do_not_count():
    observation, alive = torch.randn(50, 2, 3), ALIVE.clone()
    alive[:, 1] = False
    padded = torch.where(alive.unsqueeze(-1), observation, 1000.0)
    normalizer = _after((padded, alive))
    torch.testing.assert_close(normalizer.mean, observation[:, 0].mean(0))
    torch.testing.assert_close(normalizer.deviation, observation[:, 0].std(0, unbiased=False))


def test_a_batch_without_observations_changes_nothing_much():
    normalizer = _after((torch.randn(50, 2, 3), ALIVE))
    before = normalizer.deviation.clone()
    normalizer.update(torch.zeros(50, 2, 3), ~ALIVE)
    torch.testing.assert_close(normalizer.deviation, before)
    assert torch.isfinite(_after((torch.zeros(50, 2, 3), ~ALIVE))(torch.randn(4, 3))).all()


def test_constant_features_keep_their_unit_and_hardly_varying_ones_have_a_least_unit():
    observation = torch.full((50, 2, 3), 1 / 3)
    observation[0, 0, 1] += 1e-3
    assert _after((observation, ALIVE)).deviation.tolist() == pytest.approx([1.0, 0.01, 1.0])


def test_statistics_follow_features_that_change():
    small, large = torch.randn(50, 2, 3), 10 * torch.randn(50, 2, 3) + 100
    normalizer = _after(*[(small, ALIVE)] * 20)
    normalizer = _after(*[(large, ALIVE)] * 6000, normalizer=normalizer)
    torch.testing.assert_close(normalizer.mean, large.flatten(0, 1).mean(0), rtol=0.01, atol=0)
    torch.testing.assert_close(normalizer.deviation, large.flatten(0, 1).std(0, unbiased=False), rtol=0.05, atol=0)


def test_each_learner_has_the_statistics_of_all():
    observation = torch.randn(50, 2, 3)
    shares = [(observation[:20], ALIVE[:20]), (observation[20:], ALIVE[20:])]
    exchanged = []

    def note(own):
        exchanged.append(own)
        return own

    for share in shares:
        ObservationNormalizer(3).update(*share, reduce=note)
    for share in shares:
        learner = ObservationNormalizer(3)
        learner.update(*share, reduce=lambda own: sum(exchanged))
        torch.testing.assert_close(learner.deviation, _after((observation, ALIVE)).deviation)


def test_loss_weighs_features_alike_whatever_their_scale():
    observation, reconstruction = torch.randn(50, 2, 3), torch.randn(50, 2, 3)
    loss = reconstruction_loss(reconstruction, observation, ALIVE)
    scaled = reconstruction_loss(reconstruction * SCALE, observation * SCALE, ALIVE, SCALE)
    torch.testing.assert_close(scaled, loss)


def _model(observation):
    torch.manual_seed(0)
    config = WorldModelConfig(3, 4, 16, 8, 3, 4, communication_heads=4, normalize_observations=True)
    model = WorldModel(config).eval()
    model.normalizer.update(observation, ALIVE)
    return model


def test_the_world_model_does_not_see_the_units_and_reconstructs_in_them():
    observation = torch.randn(50, 2, 3)
    plain, scaled = _model(observation), _model(observation * SCALE - 7)
    torch.testing.assert_close(scaled.encode(observation * SCALE - 7), plain.encode(observation), rtol=1e-3, atol=1e-4)
    features = torch.randn(5, 2, plain.config.feature_size)
    expected = plain.decode(features)[0] * SCALE - 7
    torch.testing.assert_close(scaled.decode(features)[0], expected, rtol=1e-3, atol=1e-4)
