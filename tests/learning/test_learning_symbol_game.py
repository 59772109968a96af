"""MAMBA learns a game that needs communication, and cannot without it.

Each player sees a fresh symbol at every step, and one step later its neighbour has to name it.
"""

import numpy as np
import pytest

from rllib_mamba import MAMBAConfig, MAMBAPolicy
from rllib_mamba.envs.symbol_game import SymbolGame

ENV_CONFIG = {"num_agents": 2, "num_symbols": 2, "episode_length": 6}
#: It is usually learned in less than half as many.
ENV_STEPS = 5_000
#: Between two looks at what has been learned.
INTERVAL = 250
GOAL = 0.95
EPISODES = 50


def train(communication: bool, env_steps: int, goal: float | None = None) -> tuple[float, int]:
    """Trains until the goal or so many env steps are reached; returns the mean return then, and the env steps."""
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
            sequence_length=7,
            batch_size=32,
            horizon=3,
            gamma=0.5,
            world_model_lr=2e-3,
            entropy_coeff=0.03,
            minibatch_size=1000,
            num_epochs=3,
            world_model_updates=30,
            agent_updates=3,
            update_every=100,
            min_steps_before_learning=300,
        )
        .debugging(seed=0)
    )
    algorithm = config.build_algo()
    looked_at = 0
    try:
        while algorithm.update_schedule.env_steps < env_steps:
            algorithm.training_step()
            if goal is not None and algorithm.update_schedule.env_steps - looked_at >= INTERVAL:
                looked_at = algorithm.update_schedule.env_steps
                if mean_return(algorithm.get_policy()) >= goal:
                    break
        return mean_return(algorithm.get_policy()), algorithm.update_schedule.env_steps
    finally:
        algorithm.stop()


def mean_return(policy: MAMBAPolicy) -> float:
    """The team's mean return of greedy episodes, as a share of the best."""
    game = SymbolGame(ENV_CONFIG)
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


@pytest.fixture(scope="module")
def with_communication(ray_cluster: None) -> tuple[float, int]:
    """What was reached with communication, and in how many env steps."""
    return train(communication=True, env_steps=ENV_STEPS, goal=GOAL)


@pytest.mark.timeout(600)
def test_with_communication_the_game_is_learned(with_communication: tuple[float, int]) -> None:
    reached, _ = with_communication
    assert reached >= GOAL


@pytest.mark.timeout(600)
def test_without_communication_it_stays_at_chance(with_communication: tuple[float, int]) -> None:
    _, env_steps = with_communication
    game = SymbolGame(ENV_CONFIG)
    reached, _ = train(communication=False, env_steps=env_steps)
    assert abs(reached - game.chance_return / game.best_return) <= 0.10
