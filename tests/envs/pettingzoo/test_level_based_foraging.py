"""Level-based foraging, with the real game."""

from typing import Any

import numpy as np
import pytest
from ray.rllib.env.env_context import EnvContext
from ray.tune.registry import register_env

from rllib_mamba import MAMBAConfig
from rllib_mamba.registry import make_environment
from rllib_mamba.teams import TeamEnv

pytest.importorskip("lbforaging")

import gymnasium as gym

SPECIFIER = "level_based_foraging"
NAME = "Foraging-5x5-2p-1f-v3"


def make(**settings: Any) -> Any:
    return make_environment(SPECIFIER, EnvContext(settings, worker_index=0))


@pytest.mark.parametrize("name", [NAME, "Foraging-8x8-3p-2f-coop-v3"])
def test_episodes_are_those_of_the_game(name: str):
    env, game = make(name=name), gym.make(name, disable_env_checker=True).unwrapped
    random = np.random.default_rng(0)
    ends = set()
    for seed in range(6):
        seen, expected = env.reset(seed=seed)[0], game.reset(seed=seed)[0]
        collected, over = 0.0, False
        while not over:
            np.testing.assert_array_equal(list(seen.values()), expected)
            actions = random.integers(6, size=game.n_agents).tolist()
            seen, rewards, terminateds, truncateds, infos = env.step(dict(zip(env.agents, actions, strict=True)))
            expected, expected_rewards, over, _, _ = game.step(actions)
            assert list(rewards.values()) == expected_rewards
            collected += sum(expected_rewards)
        # The game's rewards are parts of the food.
        assert infos["__common__"]["episode_metrics"]["collected"] == pytest.approx(collected)
        assert (terminateds["__all__"], truncateds["__all__"]) == (collected > 1 - 1e-6, collected < 1 - 1e-6)
        ends.add(terminateds["__all__"])
    assert ends == ({True, False} if name == NAME else {False})


def test_a_team_plays_it():
    env = make(name=NAME)
    team = TeamEnv(env, {"team": env.possible_agents})
    team.reset(seed=0)
    over, steps = False, 0
    while not over:
        observations, _, terminateds, truncateds, _ = team.step({"team": np.array([steps % 6, 5])})
        over, steps = terminateds["__all__"] or truncateds["__all__"], steps + 1
    assert observations["team"]["obs"].shape == (2, 9)
    assert set(team.episode_metrics) == {"collected"}


def test_settings_of_the_game():
    assert len(make(name="Foraging-8x8-4p-2f-v3").possible_agents) == 4
    assert make(name=NAME, max_episode_steps=7).game._max_episode_steps == 7


@pytest.mark.usefixtures("ray_cluster")
def test_it_is_trained_under_a_name_of_the_users():
    from rllib_mamba.envs.level_based_foraging import ForagingEnv

    register_env("foraging", ForagingEnv)
    config = MAMBAConfig().environment("foraging", env_config={"name": NAME}).preset("debug").debugging(seed=0)
    algorithm = config.build_algo()
    try:
        results = [algorithm.train() for _ in range(2)][-1]
    finally:
        algorithm.stop()
    assert 0 <= results["env_runners"]["episode_metrics"]["collected"] <= 1
    assert np.isfinite(results["learners"]["team"]["total_loss"])
