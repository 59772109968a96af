"""Options beyond the paper: action masks and scaled features."""

import numpy as np
import pytest

from rllib_mamba.envs.flatland import PRESETS
from rllib_mamba.envs.flatland.environment import FlatlandEnv
from rllib_mamba.envs.flatland.scaling import BRANCH_DISTANCE_RANGE, DETOUR_RANGE, TARGET_DISTANCE_RANGE, scaled

DEBUG = PRESETS["flatland_debug"]


def test_distances_become_nearness_and_differences_fractions() -> None:
    features = np.zeros((1, 205), np.float32)
    features[0, 5] = 25 / 100 - 10
    features[0, 9 + 1] = 10 / 100 - 10
    features[0, 9] = 1.0
    features[0, 9 + 4] = -5 / 100
    features[0, 9 + 5] = 2 / 100
    features[0, 9 + 6] = 1.0
    features[0, 9 + 14] = 1.0
    features[0, 9 + 14 + 5] = 9.5
    result = scaled(features)[0]
    np.testing.assert_allclose(result[5], 1 - 2 * 25 / TARGET_DISTANCE_RANGE, atol=1e-4)
    np.testing.assert_allclose(result[9 + 1], 1 - 2 * 10 / 50, atol=1e-4)
    np.testing.assert_allclose(result[9 + 2], -1.0)
    np.testing.assert_allclose(result[9 + 4], -5 / BRANCH_DISTANCE_RANGE, atol=1e-6)
    np.testing.assert_allclose(result[9 + 5], 1 - 2 * 2 / DETOUR_RANGE, atol=1e-5)
    assert result[9 + 14 + 5] == -1.0
    assert result[9 + 28 + 5] == -1.0
    assert result[9 + 6] == 1.0
    assert features[0, 9 + 2] == 0.0


def test_scaled_episodes_are_the_same_episodes_on_scales_near_one() -> None:
    plain, near_one = FlatlandEnv({**DEBUG, "seed": 3}), FlatlandEnv({**DEBUG, "seed": 3, "scaled_features": True})
    observations, _ = plain.reset()
    others, _ = near_one.reset()
    for _ in range(20):
        for agent, observation in observations.items():
            np.testing.assert_array_equal(others[agent], scaled(observation))
            assert np.abs(others[agent]).max() <= 1.0
        actions = dict.fromkeys(observations, 0)
        observations, _, ends, _, _ = plain.step(actions)
        others, _, _, _, _ = near_one.step(actions)
        observations = {agent: observation for agent, observation in observations.items() if not ends[agent]}
        if ends["__all__"]:
            break


@pytest.mark.parametrize(("depth", "size"), [(1, 37), (2, 93), (3, 205)])
def test_a_shallower_tree_is_the_beginning_of_the_deepest(depth: int, size: int) -> None:
    shallow, deep = FlatlandEnv({**DEBUG, "seed": 2, "tree_depth": depth}), FlatlandEnv({**DEBUG, "seed": 2})
    assert shallow.observation_spaces["train_0"].shape == (size,)
    few, all_features = shallow.reset()[0], deep.reset()[0]
    for agent, features in few.items():
        np.testing.assert_array_equal(features, all_features[agent][:size])


def test_masked_actions_make_no_difference() -> None:
    """What the mask calls illegal leads to the same state as the first action."""
    generator = np.random.default_rng(0)
    masked = FlatlandEnv({**DEBUG, "seed": 5, "action_masks": True})
    any_action = FlatlandEnv({**DEBUG, "seed": 5})
    observations, infos = masked.reset()
    any_action.reset()
    replaced = 0
    for _ in range(60):
        wanted = {agent: int(generator.integers(3)) for agent in observations}
        legal = {agent: action if infos[agent]["action_mask"][action] else 0 for agent, action in wanted.items()}
        replaced += wanted != legal
        observations, _, ends, times, infos = masked.step(legal)
        others, _, _, _, _ = any_action.step(wanted)
        for agent, observation in observations.items():
            np.testing.assert_array_equal(observation, others[agent])
        observations = {agent: observation for agent, observation in observations.items() if not ends[agent]}
        if ends["__all__"] or times["__all__"]:
            break
    assert replaced > 5
