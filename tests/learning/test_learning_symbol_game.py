"""MAMBA learns a game that needs communication, and cannot without it.

Each player sees a fresh symbol at every step, and one step later its neighbour has to name it.
"""

import numpy as np
import pytest

from rllib_mamba import MAMBAConfig, MAMBAPolicy
from rllib_mamba.envs.symbol_game import SymbolGame

ENV_CONFIG = {"num_symbols": 2}
ENV_STEPS = 5_000
EPISODES = 50


def train(communication: bool) -> MAMBAPolicy:
    config = (
        MAMBAConfig()
        .environment("symbol_game", env_config=ENV_CONFIG)
        .env_runners(num_envs_per_env_runner=8)
        .training(
            communication=communication,
            communication_layers=1,
            communication_heads=4,
            communication_dropout=0.0,
            hidden_size=64,
            deterministic_size=64,
            num_categoricals=8,
            num_classes=8,
            sequence_length=13,
            batch_size=16,
            horizon=5,
            gamma=0.9,
            world_model_lr=[[0, 2e-3], [2_500, 2e-3], [5_000, 2e-4]],
            entropy_coeff=0.03,
            minibatch_size=500,
            num_epochs=3,
            world_model_updates=50,
            agent_updates=4,
            update_every=100,
            min_steps_before_learning=500,
        )
        .debugging(seed=0)
    )
    algorithm = config.build_algo()
    try:
        while algorithm.update_schedule.env_steps < ENV_STEPS:
            algorithm.training_step()
        return algorithm.get_policy()
    finally:
        algorithm.stop()


def mean_return(policy: MAMBAPolicy, game: SymbolGame) -> float:
    """The team's mean return of greedy episodes, as a share of the best."""
    returns = []
    for episode in range(EPISODES):
        observations, infos = game.reset(seed=1_000 + episode)
        policy.reset()
        total, ends = 0.0, {"__all__": False}
        while not ends["__all__"]:
            observations, rewards, ends, _, infos = game.step(policy.act(observations, infos))
            total += float(np.mean(list(rewards.values())))
        returns.append(total)
    return float(np.mean(returns)) / game.best_return


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("ray_cluster")
def test_with_communication_the_game_is_learned() -> None:
    assert mean_return(train(communication=True), SymbolGame(ENV_CONFIG)) >= 0.95


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("ray_cluster")
def test_without_communication_it_stays_at_chance() -> None:
    game = SymbolGame(ENV_CONFIG)
    assert abs(mean_return(train(communication=False), game) - game.chance_return / game.best_return) <= 0.10
