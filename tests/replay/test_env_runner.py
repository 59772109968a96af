"""Chunks as RLlib's env runner really returns them."""

import gymnasium as gym
import numpy as np
import pytest
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner
from ray.rllib.examples.rl_modules.classes.random_rlm import RandomRLModule
from ray.tune.registry import register_env

from rllib_mamba.replay import TeamReplayBuffer
from rllib_mamba.teams.team_env import TeamEnv


class Counting(MultiAgentEnv):
    """Observes (episode, step) and ends, or is cut, after some steps. Agent "b" ends one step earlier."""

    created = 0

    def __init__(self):
        super().__init__()
        self.possible_agents = self.agents = ["a", "b"]
        self.observation_spaces = dict.fromkeys(self.agents, gym.spaces.Box(-np.inf, np.inf, (2,)))
        self.action_spaces = dict.fromkeys(self.agents, gym.spaces.Discrete(3))
        Counting.created += 1
        self.episode = 1000 * Counting.created
        self.t = 0

    def observe(self, agents):
        return {agent: np.array([self.episode, self.t], np.float32) for agent in agents}

    def reset(self, *, seed=None, options=None):
        self.episode += 1
        self.t = 0
        return self.observe(self.possible_agents), {}

    def step(self, action_dict):
        self.t += 1
        length = 4 + self.episode % 9
        over = self.t == length
        rewards = {agent: float(10 * self.t + action) for agent, action in action_dict.items()}
        ended = {"b": True} if self.t == length - 1 else {}
        terminated = over and self.episode % 2 == 0
        flags = {**ended, "__all__": terminated}
        return self.observe(action_dict), rewards, flags, {"__all__": over and not terminated}, {}


class RandomTeam(RandomRLModule):
    framework = "torch"  # RLlib's default connectors accept no other


@pytest.fixture
def env_runner():
    register_env("counting_team", lambda _: TeamEnv(Counting(), {"team": ["a", "b"]}))
    spec = MultiRLModuleSpec(rl_module_specs={"team": RLModuleSpec(module_class=RandomTeam)})
    config = (
        PPOConfig()
        .environment("counting_team")
        .env_runners(num_env_runners=0, num_envs_per_env_runner=3, rollout_fragment_length=5)
        .multi_agent(policies={"team"}, policy_mapping_fn=lambda agent_id, *_, **__: agent_id)
        .rl_module(rl_module_spec=spec)
    )
    runner = MultiAgentEnvRunner(config=config, worker_index=0)
    yield runner
    runner.stop()


def test_vectorised_fragments_become_sequences(env_runner):
    buffer = TeamReplayBuffer(capacity=10_000, sequence_length=9)
    steps = 0
    for _ in range(40):
        chunks = env_runner.sample()
        steps += sum(len(chunk) for chunk in chunks)
        buffer.add_episodes(chunks, "team")
    windows = 0
    for start in range(len(buffer)):
        try:
            window = {name: column[0] for name, column in buffer.windows([start]).items()}
        except ValueError:
            continue
        windows += 1
        check_window(window)

    assert buffer.num_env_steps_added_lifetime == steps >= 600
    assert windows == len(buffer) - 3 * 8


def check_window(window):
    episode, step = window["obs"][:, 0, 0], window["obs"][:, 0, 1]
    real = window["alive"].any(axis=1)
    for t in range(len(real) - 1):
        if window["last"][t]:
            assert step[t + 1] == 0
        elif real[t + 1]:
            assert (episode[t + 1], step[t + 1]) == (episode[t], step[t] + 1)
        else:
            assert window["terminated"][t].all()
    length = 4 + episode % 9
    np.testing.assert_array_equal(window["alive"][real, 1], step[real] < length[real] - 1)
    np.testing.assert_array_equal(window["terminated"][real, 1], step[real] >= length[real] - 2)
    np.testing.assert_array_equal(window["truncated"], real & (step == length - 1) & (episode % 2 == 1))
    acted = window["alive"]
    rewards = 10 * (step[:, None] + 1) + window["action"]
    np.testing.assert_array_equal(window["reward"], np.where(acted, rewards, 0))
