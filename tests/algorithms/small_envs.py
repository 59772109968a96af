"""Small environments for training: agents of several kinds, and faults on demand."""

import os
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import ray
from ray.rllib.env.multi_agent_env import MultiAgentEnv

#: Of a kind of agent: its observation and its number of actions.
SIZES = {"hunter": (2, 3), "gatherer": (4, 2)}


class Village(MultiAgentEnv):
    """Hunters and gatherers with spaces of different sizes, over `length` (8) steps.

    hunter_0 dies at step 3, hunter_1 appears at step 2, the gatherers take turns, gatherer_2 is always there. Agents
    are paid for the action 0 of a hunter, 1 of a gatherer. With `masks` every second step forbids action 1.

    Observation: (number of the episode, step, ...zeros).
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.possible_agents = ["hunter_0", "hunter_1", "gatherer_0", "gatherer_1", "gatherer_2"]
        self.agents = list(self.possible_agents)
        self.length = config.get("length", 8)
        self.masks = config.get("masks", False)
        self.observation_spaces, self.action_spaces = {}, {}
        for agent in self.possible_agents:
            observation_size, num_actions = SIZES[agent.split("_")[0]]
            space: gym.Space = gym.spaces.Box(-np.inf, np.inf, (observation_size,), np.float32)
            if self.masks:
                mask = gym.spaces.MultiBinary(num_actions)
                space = gym.spaces.Dict({"observation": space, "action_mask": mask})
            self.observation_spaces[agent] = space
            self.action_spaces[agent] = gym.spaces.Discrete(num_actions)
        self.episode = 0
        self.chosen: list[dict[str, int]] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        self.episode += 1
        self.step_number = 0
        self.chosen = []
        return self._see(), {}

    def step(self, action_dict: dict[str, int]) -> tuple[Any, ...]:
        if self.masks and self.step_number % 2:
            assert 1 not in action_dict.values(), "an illegal action"
        self.chosen.append(dict(action_dict))
        self.step_number += 1
        paid = {"hunter": 0, "gatherer": 1}
        rewards = {agent: float(action == paid[agent.split("_")[0]]) for agent, action in action_dict.items()}
        over = self.step_number >= self.length
        terminateds = {"__all__": over}
        if self.step_number == 3:
            terminateds["hunter_0"] = True
        infos = {}
        if over:
            hunters = [action for step in self.chosen for agent, action in step.items() if agent.startswith("hunter")]
            metrics = {"steps": float(self.step_number), "hunters_mean_action": float(np.mean(hunters))}
            infos["__common__"] = {"episode_metrics": metrics}
        return self._see(), rewards, terminateds, {"__all__": False}, infos

    def _see(self) -> dict[str, Any]:
        there = {
            "hunter_0": self.step_number < 3,
            "hunter_1": self.step_number >= 2,
            "gatherer_0": self.step_number % 2 == 0,
            "gatherer_1": self.step_number % 2 == 1,
            "gatherer_2": True,
        }
        return {agent: self._observation(agent) for agent in self.possible_agents if there[agent]}

    def _observation(self, agent: str) -> Any:
        observation_size, num_actions = SIZES[agent.split("_")[0]]
        values = np.zeros(observation_size, np.float32)
        values[:2] = self.episode, self.step_number
        if not self.masks:
            return values
        mask = np.ones(num_actions, np.int8)
        mask[1] = self.step_number % 2 == 0
        return {"observation": values, "action_mask": mask}


class Fragile(MultiAgentEnv):
    """One agent that sees (process, number of the episode in that process, step), for `length` (10) steps.

    Args:
        config: `fault` at step 5 of the episode number `fault_episode` (2): "kill" ends the process and "raise" the
            step, each in the env runner 1 and once for the `marker` file; "nan_reward", "inf_observation",
            "unknown_agent" and "no_action" (a mask that forbids everything) are bad input, in every env runner.
    """

    episodes = 0

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.possible_agents = ["only"]
        self.agents = ["only"]
        box = gym.spaces.Box(-np.inf, np.inf, (3,), np.float32)
        self.fault = config.get("fault")
        self.masked = self.fault == "no_action"
        if self.masked:
            box = gym.spaces.Dict({"obs": box, "action_mask": gym.spaces.MultiBinary(2)})
        self.observation_spaces = {"only": box}
        self.action_spaces = {"only": gym.spaces.Discrete(2)}
        self.length = config.get("length", 10)
        self.fault_episode = config.get("fault_episode", 2)
        self.marker = Path(config["marker"]) if "marker" in config else None
        self.worker_index = getattr(config, "worker_index", 0)
        self.resets = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        Fragile.episodes += 1
        self.episode = Fragile.episodes
        self.resets += 1
        self.step_number = 0
        return {"only": self._observation()}, {}

    def step(self, action_dict: dict[str, int]) -> tuple[Any, ...]:
        self.step_number += 1
        rewards = {"only": 1.0}
        faulty = self.step_number == 5 and self.resets >= self.fault_episode
        if faulty and self.fault in ("kill", "raise") and self._first_time():
            if self.fault == "kill":
                os.kill(os.getpid(), 9)
            raise RuntimeError("the game broke")
        if faulty and self.fault == "nan_reward":
            rewards["only"] = float("nan")
        if faulty and self.fault == "unknown_agent":
            rewards["stranger"] = 1.0
        observation = self._observation()
        if faulty and self.fault == "inf_observation":
            observation[1] = np.inf
        if faulty and self.fault == "no_action":
            observation["action_mask"][:] = 0
        over = self.step_number >= self.length
        return {"only": observation}, rewards, {"__all__": over}, {"__all__": False}, {}

    def _observation(self) -> Any:
        values = np.array([os.getpid() % 2**20, self.episode, self.step_number], np.float32)
        return {"obs": values, "action_mask": np.ones(2, np.int8)} if self.masked else values

    def _first_time(self) -> bool:
        assert self.marker is not None
        if self.worker_index > 1 or self.marker.exists():
            return False
        self.marker.touch()
        return True


# Env runners in processes of their own cannot import what lies beside a test.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
