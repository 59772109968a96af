"""Targets of attacks as one-hots: from numbers written by hand, and in battles of three marines on each side."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("jaxmarl")

from rllib_mamba.envs.smax import SMAXEnv
from rllib_mamba.envs.smax.targets import TargetEncoder

RIGHT, FIRST_ATTACK = 1, 5
FEATURES = ["health", "last_targeted", "cooldown"]


def encoder_of(allies: int, enemies: int) -> TargetEncoder:
    """For units with three features, and two numbers of oneself."""
    game = SimpleNamespace(
        num_allies=allies,
        num_enemies=enemies,
        unit_features=FEATURES,
        obs_size=(allies - 1 + enemies) * len(FEATURES) + 2,
        num_movement_actions=FIRST_ATTACK,
        num_ally_actions=FIRST_ATTACK + enemies,
        num_enemy_actions=FIRST_ATTACK + allies,
    )
    return TargetEncoder(game)


def test_targets_are_told_apart_from_the_observing_unit():
    encode = encoder_of(allies=3, enemies=2)
    # Allies count the enemies from the first to the last, enemies the allies from the last to the first.
    ally_attacks = {"first": 5 / 6, "second": 6 / 6, "nobody": 0.0}
    enemy_attacks = {2: 5 / 7, 1: 6 / 7, 0: 7 / 7, None: 0.0}

    def seen(others: list[str], targets: list[int | None]) -> list[float]:
        numbers = [ally_attacks[target] for target in others] + [enemy_attacks[target] for target in targets]
        return [value for index, number in enumerate(numbers) for value in (index + 0.1, number, index + 0.2)] + [8, 9]

    observations = np.array(
        [
            seen(["first", "second"], [0, 2]),
            seen(["nobody", "second"], [0, 2]),
            seen(["nobody", "first"], [1, None]),
        ],
        np.float32,
    )
    encoded = np.asarray(encode(observations))
    assert encoded.shape == (3, encode.observation_size) == (3, 2 * (2 + 2) + 2 * (2 + 3) + 2)
    allies = encoded[:, :8].reshape(3, 2, 4)
    enemies = encoded[:, 8:18].reshape(3, 2, 5)
    assert encoded[:, 18:].tolist() == [[8, 9]] * 3
    assert np.allclose(allies[..., :2], [[0.1, 0.2], [1.1, 1.2]])
    assert np.allclose(enemies[..., :2], [[2.1, 2.2], [3.1, 3.2]])
    assert allies[..., 2:].tolist() == [[[1, 0], [0, 1]], [[0, 0], [0, 1]], [[0, 0], [1, 0]]]
    # Itself, then the others in their order: to ally 1 ally 0 is the second, to ally 0 ally 2 is the third.
    assert enemies[..., 2:].tolist() == [
        [[1, 0, 0], [0, 0, 1]],
        [[0, 1, 0], [0, 0, 1]],
        [[0, 0, 1], [0, 0, 0]],
    ]


def test_who_loses_health_was_a_target():
    plain, encoded = (SMAXEnv({"scenario": "3m", "seed": 5, "one_hot_targets": told}) for told in (False, True))
    observations, infos = encoded.reset()
    plain_observations, _ = plain.reset()
    assert {space.shape for space in encoded.observation_spaces.values()} == {(85,)}
    hits = 0
    for _ in range(60):
        actions = {}
        for agent in encoded.possible_agents:
            attacks = infos[agent]["action_mask"][FIRST_ATTACK:]
            actions[agent] = FIRST_ATTACK + int(attacks.argmax()) if attacks.any() else RIGHT
        before = observations
        observations, _, terminateds, truncateds, infos = encoded.step(actions)
        plain_observations, *_ = plain.step(actions)
        over = terminateds["__all__"] or truncateds["__all__"]
        for agent in encoded.possible_agents:
            units, was = (values[agent][:75].reshape(5, 15) for values in (observations, before))
            plain_units = plain_observations[agent][:65].reshape(5, 13)
            assert np.array_equal(units[:, :12], np.delete(plain_units, 5, 1))
            assert np.array_equal(units[:, 12:].any(1), plain_units[:, 5] > 0)
            assert observations[agent][75:].tolist() == plain_observations[agent][65:].tolist()
            own_health, health_before = observations[agent][75], before[agent][75]
            enemies_stayed = ((units[2:, 0] > 0) == (was[2:, 0] > 0)).all()
            if 0 < own_health < health_before and enemies_stayed:
                hits += 1
                assert units[2:, 12].any()
        if over:
            observations, infos = encoded.reset()
            plain.reset()
    assert hits >= 10
