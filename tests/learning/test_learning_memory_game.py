"""MAPPO learns a game that needs memory, and cannot without it.

Each player sees a cue at the first step, and at the last has to name it; its observations in between are all alike.
"""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from rllib_mamba import MAPPOConfig, MAPPOPolicy

LENGTH = 3
ITERATIONS = 12
EPISODES = 50


class MemoryGame(MultiAgentEnv):
    """Two players, two cues, `LENGTH` steps; naming one's cue at the last step is worth 1."""

    def __init__(self, config: Any = None) -> None:
        super().__init__()
        self.possible_agents = ["left", "right"]
        self.agents = list(self.possible_agents)
        self.observation_spaces = dict.fromkeys(self.agents, gym.spaces.Box(0.0, 1.0, (3,), np.float32))
        self.action_spaces = dict.fromkeys(self.agents, gym.spaces.Discrete(2))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        super().reset(seed=seed)
        self.step_number = 0
        self.cues = {agent: int(self.np_random.integers(2)) for agent in self.agents}
        return self._observe(), {}

    def step(self, action_dict: dict[str, int]) -> tuple[Any, ...]:
        self.step_number += 1
        over = self.step_number == LENGTH
        rewards = {agent: float(over and action == self.cues[agent]) for agent, action in action_dict.items()}
        return self._observe(), rewards, {"__all__": over}, {"__all__": False}, {}

    def _observe(self) -> dict[str, np.ndarray]:
        shown = np.eye(3, dtype=np.float32)
        first = self.step_number == 0
        return {agent: shown[self.cues[agent] if first else 2] for agent in self.agents}


def train(recurrent: bool) -> MAPPOPolicy:
    config = (
        MAPPOConfig()
        .environment(MemoryGame)
        .env_runners(num_envs_per_env_runner=20)
        .training(
            recurrent=recurrent,
            hidden_size=32,
            actor_lr=3e-3,
            critic_lr=3e-3,
            train_batch_size_per_learner=240,
        )
        .debugging(seed=0, log_level="ERROR")
    )
    algorithm = config.build_algo()
    try:
        for _ in range(ITERATIONS):
            algorithm.training_step()
        return algorithm.get_policy()
    finally:
        algorithm.stop()


def mean_return(policy: MAPPOPolicy) -> float:
    """The team's mean return of greedy episodes, as a share of the best."""
    game = MemoryGame()
    returns = []
    for episode in range(EPISODES):
        observations, infos = game.reset(seed=1_000 + episode)
        policy.reset()
        ends = {"__all__": False}
        while not ends["__all__"]:
            observations, rewards, ends, _, infos = game.step(policy.act(observations, infos))
        returns.append(np.mean(list(rewards.values())))
    return float(np.mean(returns))


@pytest.mark.usefixtures("ray_cluster")
def test_with_memory_the_game_is_learned_and_without_it_stays_at_chance() -> None:
    assert mean_return(train(recurrent=True)) >= 0.95
    assert abs(mean_return(train(recurrent=False)) - 0.5) <= 0.15
