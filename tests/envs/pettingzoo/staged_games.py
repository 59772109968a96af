"""Games of PettingZoo whose course is written down beforehand, and what plays them as RLlib does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from pettingzoo import AECEnv, ParallelEnv
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode

NUM_ACTIONS = 3
TERMINATED, TRUNCATED, BOTH = "terminated", "truncated", "both"


class Stage(ParallelEnv):
    """Agents appear and end at steps that are written down.

    An agent observes the step and its own number; its reward is the step times ten to the power of its number.

    Args:
        ends: agent -> (step, kind of end).
        begins: agent -> step at which it appears, 0 unless given.
        reports_ended: Whether agents that have ended are reported to the end of the episode.
        returns: an agent that is there again at the step after its end.
        masks: Whether the infos hold an action mask, always in the same dictionary.
    """

    metadata: dict[str, Any] = {"name": "stage", "render_modes": []}  # noqa: RUF012

    def __init__(
        self,
        ends: Mapping[str, tuple[int, str]],
        begins: Mapping[str, int] | None = None,
        reports_ended: bool = False,
        returns: str | None = None,
        masks: bool = False,
    ) -> None:
        self.possible_agents = list(ends)
        self.ends, self.begins, self.returns = ends, begins or {}, returns
        self.reports_ended, self.masks = reports_ended, masks
        self.render_mode = None

    def observation_space(self, agent: str) -> gym.Space:
        return gym.spaces.Box(0, 100, (2,), np.float32)

    def action_space(self, agent: str) -> gym.Space:
        return gym.spaces.Discrete(NUM_ACTIONS)

    def reset(self, seed: int | None = None, options: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        self.time = 0
        self.agents = [agent for agent in self.possible_agents if not self.begins.get(agent, 0)]
        self.infos: dict[str, Any] = {agent: {} for agent in self.possible_agents}
        return self._see(self.agents)

    def step(self, actions: dict[str, Any]) -> tuple[dict[str, Any], ...]:
        assert set(actions) == set(self.agents), (actions, self.agents)
        self.time += 1
        here = [*self.agents, *(agent for agent in self.possible_agents if self.begins.get(agent) == self.time)]
        over = {agent: self.time >= self.ends[agent][0] for agent in self.possible_agents}
        if self.returns and self.time > self.ends[self.returns][0]:
            here.append(self.returns)
            over[self.returns] = False
        self.agents = [agent for agent in here if not over[agent]]
        reported = self.possible_agents if self.reports_ended else here
        observations, infos = self._see(reported)
        rewards = {agent: self.time * 10 ** self.possible_agents.index(agent) for agent in reported}
        terminations = {agent: over[agent] and self.ends[agent][1] in (TERMINATED, BOTH) for agent in reported}
        truncations = {agent: over[agent] and self.ends[agent][1] in (TRUNCATED, BOTH) for agent in reported}
        return observations, rewards, terminations, truncations, infos

    def _see(self, agents: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
        for agent in agents:
            self.infos[agent]["time"] = self.time
            if self.masks:
                self.infos[agent]["action_mask"] = np.eye(NUM_ACTIONS, dtype=np.int8)[self.time % NUM_ACTIONS]
        observations = {agent: np.array([self.time, self.possible_agents.index(agent)], np.float32) for agent in agents}
        return observations, {agent: self.infos[agent] for agent in agents}


class Turns(AECEnv):
    """Agents act in turn; the move with number n (from 1) gives agent j the reward n times ten to the power of j.

    Args:
        size: number of agents.
        ends: agent number -> (move at which it ends, kind of end); it need not be its own move.
        masks: Whether the infos hold an action mask.
    """

    metadata: dict[str, Any] = {"name": "turns", "render_modes": []}  # noqa: RUF012

    def __init__(self, size: int, ends: Mapping[int, tuple[int, str]], masks: bool = False) -> None:
        super().__init__()
        self.possible_agents = [f"agent_{number}" for number in range(size)]
        self.ends = {f"agent_{number}": end for number, end in ends.items()}
        self.masks = masks
        self.render_mode = None

    def observation_space(self, agent: str) -> gym.Space:
        return gym.spaces.Box(0, 100, (2,), np.float32)

    def action_space(self, agent: str) -> gym.Space:
        return gym.spaces.Discrete(NUM_ACTIONS)

    def observe(self, agent: str) -> np.ndarray:
        return np.array([self.move, self.possible_agents.index(agent)], np.float32)

    def reset(self, seed: int | None = None, options: Any = None) -> None:
        self.move = 0
        self.agents = list(self.possible_agents)
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        mask = {"action_mask": np.array([1, 0, 1], np.int8)} if self.masks else {}
        self.infos = {agent: dict(mask) for agent in self.agents}
        self.agent_selection = self.agents[0]

    def step(self, action: Any) -> None:
        actor = self.agent_selection
        if self.terminations[actor] or self.truncations[actor]:
            self._was_dead_step(action)
            return
        assert self.action_space(actor).contains(action), action
        self.move += 1
        self._cumulative_rewards[actor] = 0.0
        for agent in self.agents:
            self.rewards[agent] = self.move * 10.0 ** self.possible_agents.index(agent)
            move, kind = self.ends[agent]
            self.terminations[agent] = self.move >= move and kind in (TERMINATED, BOTH)
            self.truncations[agent] = self.move >= move and kind in (TRUNCATED, BOTH)
        self._accumulate_rewards()
        self.agent_selection = self.agents[(self.agents.index(actor) + 1) % len(self.agents)]
        self._deads_step_first()


parallel_env = Stage


def played(
    env: MultiAgentEnv, choose: Callable[[Any, Any, Mapping[str, Any]], Any], seed: int | None = None
) -> tuple[MultiAgentEpisode, list[tuple[Any, ...]]]:
    """An episode in RLlib's book-keeping, and what `reset` and each `step` gave.

    `choose` gives an action from an agent, its observation and its info.
    """
    observations, infos = env.reset(seed=seed)
    episode = MultiAgentEpisode(
        observation_space=env.observation_spaces,
        action_space=env.action_spaces,
        agent_to_module_mapping_fn=lambda *args, **kwargs: "module",
    )
    episode.add_env_reset(observations=observations, infos=infos)
    given: list[tuple[Any, ...]] = [(observations, infos)]
    while not episode.is_done:
        actions = {agent: choose(agent, observations[agent], infos[agent]) for agent in episode.get_agents_to_act()}
        step = env.step(actions)
        observations, rewards, terminateds, truncateds, infos = step
        episode.add_env_step(observations, actions, rewards, infos, terminateds=terminateds, truncateds=truncateds)
        given.append(step)
    return episode, given


def randomly(env: MultiAgentEnv, seed: int = 0) -> Callable[[Any, Any, Mapping[str, Any]], Any]:
    """Chooses among the legal actions, the same ones whenever `seed` is given."""
    random = np.random.default_rng(seed)

    def choose(agent: Any, observation: Any, info: Mapping[str, Any]) -> Any:
        space = env.action_spaces[agent]
        space.seed(int(random.integers(2**31)))
        source = observation if isinstance(observation, Mapping) else info
        mask = source.get("action_mask")
        return space.sample() if mask is None else space.sample(mask=np.asarray(mask, np.int8))

    return choose
