"""MAMBA and PPO on a game in which all act at once and on one of turns, as the registry makes them."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.connectors.env_to_module import FlattenObservations
from ray.tune.registry import register_env

from rllib_mamba import MAMBAConfig
from rllib_mamba.registry import make_environment

pytest.importorskip("mpe2")

pytestmark = pytest.mark.usefixtures("ray_cluster")

AT_ONCE, TURNS = "pettingzoo:mpe2.simple_spread_v3", "pettingzoo:classic.tictactoe_v3"


def trained(config: Any) -> dict[str, Any]:
    algorithm = config.debugging(seed=0).build_algo()
    try:
        return [algorithm.train() for _ in range(2)][-1]
    finally:
        algorithm.stop()


@pytest.mark.parametrize("name", [AT_ONCE, TURNS])
def test_mamba(name: str):
    results = trained(MAMBAConfig().environment(name).preset("debug"))
    assert np.isfinite(results["learners"]["team"]["total_loss"])
    sampled = results["env_runners"]
    if name == AT_ONCE:
        assert sampled["episode_len_mean"] == 25
        assert sampled["episode_return_mean"] < 0
    else:
        # One wins what the other loses, except where a move is not legal: the masks are kept to.
        assert sampled["episode_return_mean"] == 0
        assert sampled["episode_len_mean"] >= 5


@pytest.mark.parametrize("name", [AT_ONCE, TURNS])
def test_ppo(name: str):
    register_env("game", partial(make_environment, name))
    config = (
        PPOConfig()
        .environment("game")
        .env_runners(num_env_runners=0, num_envs_per_env_runner=2)
        .multi_agent(policies={"shared"}, policy_mapping_fn=lambda *args, **kwargs: "shared")
        .training(train_batch_size_per_learner=150, minibatch_size=75, num_epochs=1)
    )
    if name == TURNS:
        config.env_runners(env_to_module_connector=lambda env, spaces, device: FlattenObservations(multi_agent=True))
    results = trained(config)
    assert np.isfinite(results["learners"]["shared"]["total_loss"])
    by_agent = results["env_runners"]["agent_episode_returns_mean"]
    if name == AT_ONCE:
        assert len(by_agent) == 3
        assert max(by_agent.values()) < 0
    else:
        assert len(by_agent) == 2
        assert all(-1 <= mean <= 1 for mean in by_agent.values())
        assert min(by_agent.values()) < 0
