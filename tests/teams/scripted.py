"""Environments whose every step is written down beforehand, and a module that acts without learning."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModule, RLModuleSpec
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from rllib_mamba.teams import TEAM_SETUP_KEY, ConfiguredTeamEnv, TeamSetup

SIZE = 2


def vector(value: float, size: int = SIZE) -> np.ndarray:
    return np.full(size, value, np.float32)


def result(
    observations: dict[str, Any],
    rewards: dict[str, float] | None = None,
    terminated: tuple[str, ...] = (),
    truncated: tuple[str, ...] = (),
    infos: dict[str, Any] | None = None,
) -> tuple[Any, ...]:
    """What `step` returns: numbers as observations stand for constant vectors; flags are given for the agents named."""
    seen = {agent: vector(value) if isinstance(value, int | float) else value for agent, value in observations.items()}
    terminateds = {"__all__": False, **dict.fromkeys(terminated, True)}
    truncateds = {"__all__": False, **dict.fromkeys(truncated, True)}
    return seen, rewards or {}, terminateds, truncateds, infos or {}


class ScriptedEnv(MultiAgentEnv):
    """Returns the given results one after the other, the first one at a reset, and keeps the actions it was given."""

    def __init__(
        self,
        *script: tuple[Any, ...],
        agents: tuple[str, ...] = ("a", "b"),
        spaces: dict[str, gym.Space] | None = None,
        actions: dict[str, gym.Space] | None = None,
    ) -> None:
        super().__init__()
        self.possible_agents = list(agents)
        self.agents = list(agents)
        box = gym.spaces.Box(-np.inf, np.inf, (SIZE,), np.float32)
        self.observation_spaces = dict.fromkeys(agents, box) | (spaces or {})
        self.action_spaces = {agent: gym.spaces.Discrete(3) for agent in agents} | (actions or {})
        self.script = script
        self.received: list[dict[str, int]] = []
        self.resets: list[tuple[Any, Any]] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        self.resets.append((seed, options))
        self.received = []
        return self.script[0][0], self.script[0][-1]

    def step(self, action_dict: dict[str, int]) -> tuple[Any, ...]:
        self.received.append(dict(action_dict))
        return self.script[len(self.received)]


class LifeEnv(MultiAgentEnv):
    """Six agents of three kinds, with observations that tell agent and time, for episodes of `length` steps.

    "early" agents terminate at step 2, "late" ones appear at step 3, "turn" ones take turns with each other. Every
    observation is (number of the agent, step); every agent is rewarded with its number + 1 at every step, whether or
    not it is there.
    """

    kinds = ("early", "late", "turn")

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.possible_agents = [f"{kind}_{number}" for kind in self.kinds for number in range(2)]
        self.agents = list(self.possible_agents)
        self.observation_spaces = {
            agent: gym.spaces.Box(-np.inf, np.inf, (2,), np.float32) for agent in self.possible_agents
        }
        self.action_spaces = {
            agent: gym.spaces.Discrete(2 + number) for number, agent in enumerate(self.possible_agents)
        }
        self.length = config.get("length", 6)
        self.cut = config.get("cut", False)
        self.fail_at = config.get("fail_at")
        self.place = (config.worker_index, config.vector_index)
        self.seeds: list[int | None] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        self.seeds.append(seed)
        self.t = 0
        return self._see(), {}

    def step(self, action_dict: dict[str, int]) -> tuple[Any, ...]:
        assert set(action_dict) == set(self._see()), "exactly the agents that see something act"
        assert all(self.action_spaces[agent].contains(action) for agent, action in action_dict.items())
        self.t += 1
        rewards = {agent: number + 1.0 for number, agent in enumerate(self.possible_agents)}
        if self.t == self.fail_at:
            rewards["late_0"] = float("nan")
        over = self.t == self.length
        ended = {agent: True for agent in self.possible_agents if agent.startswith("early") and self.t == 2}
        infos = {"__common__": {"episode_metrics": {"length": self.t}}} if over else {}
        terminateds = {**ended, "__all__": over and not self.cut}
        return self._see(), rewards, terminateds, {"__all__": over and self.cut}, infos

    def _see(self) -> dict[str, np.ndarray]:
        there = {
            "early": lambda number: self.t < 2,
            "late": lambda number: self.t >= 3,
            "turn": lambda number: self.t % 2 == number,
        }
        seen = {}
        for index, agent in enumerate(self.possible_agents):
            kind, number = agent.split("_")
            if there[kind](int(number)):
                seen[agent] = np.array([index, self.t], np.float32)
        return seen


class CountingModule(RLModule):
    """Acts with zeros and keeps as its state how many steps of the episode it has seen."""

    framework = "torch"

    def setup(self) -> None:
        self.calls: list[tuple[list[float], list[float]]] = []

    def get_initial_state(self) -> dict[str, np.ndarray]:
        return {"count": np.zeros(1, np.float32)}

    def is_stateful(self) -> bool:
        return True

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        count = torch.as_tensor(batch[Columns.STATE_IN]["count"])
        rewards = torch.as_tensor(batch[Columns.OBS]["rewards"])
        self.calls.append((count[:, 0].tolist(), rewards.sum(dim=(1, 2)).tolist()))
        # (B, T = 1, N) at an env runner.
        actions = np.zeros((len(count), 1, len(self.action_space.nvec)), np.int64)
        return {Columns.ACTIONS: actions, Columns.STATE_OUT: {"count": count + 1}}

    def get_state(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return {}

    def set_state(self, *args: Any, **kwargs: Any) -> None:
        pass


def runner_config(teams: dict[str, tuple[str, ...]], env_config: dict[str, Any] | None = None) -> PPOConfig:
    """An RLlib configuration for `LifeEnv` in which every team has a `CountingModule`."""
    specs = {team: RLModuleSpec(module_class=CountingModule) for team in teams}
    return (
        PPOConfig()
        .environment(
            ConfiguredTeamEnv,
            env_config={TEAM_SETUP_KEY: TeamSetup(LifeEnv, teams), **(env_config or {})},
            disable_env_checking=True,
        )
        .multi_agent(policies=set(teams), policy_mapping_fn=lambda agent, episode, **kwargs: agent)
        .rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs=specs))
    )
