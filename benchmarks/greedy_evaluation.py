"""Greedy evaluation of a team while it learns: the same episodes every time, several side by side."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from ray.rllib.env.env_context import EnvContext

from rllib_mamba.registry import make_environment

SIDE_BY_SIDE = 10


class GreedyEvaluation:
    """Plays the same episodes whenever it is called, each from its own seed to its end.

    Args:
        config: The configuration of a team algorithm, before it is built; one team.
        episodes: How many.
        first_seed: The seed of the first episode, and of what networks draw; those of the others follow.
    """

    def __init__(self, config: Any, episodes: int, first_seed: int) -> None:
        self._episodes = episodes
        self._first_seed = first_seed
        self._sums = config.team_reward == "sum"
        self._environments = [
            make_environment(config.user_env, EnvContext(config.user_env_config, worker_index=0, vector_index=index))
            for index in range(min(SIDE_BY_SIDE, episodes))
        ]

    def __call__(self, algorithm: Any) -> dict[str, Any]:
        """The means over the episodes, under RLlib's names; leaves the random state of the training alone."""
        states = random.getstate(), np.random.get_state()
        with torch.random.fork_rng(devices=[]):
            random.seed(self._first_seed)
            np.random.seed(self._first_seed)
            torch.manual_seed(self._first_seed)
            episodes = list(self._play(algorithm.get_policy()))
        random.setstate(states[0])
        np.random.set_state(states[1])
        means: dict[str, Any] = {
            "num_episodes": len(episodes),
            "episode_return_mean": float(np.mean([self._team_return(episode) for episode in episodes])),
            "episode_len_mean": float(np.mean([episode.steps for episode in episodes])),
        }
        means["episode_metrics"] = {
            name: float(np.mean([episode.metrics[name] for episode in episodes])) for name in episodes[0].metrics
        }
        return means

    def _play(self, policy: Any) -> Iterator["Episode"]:
        seeds = iter(range(self._first_seed, self._first_seed + self._episodes))
        policy.reset(len(self._environments))
        playing = [Episode.begin(environment, next(seeds, None)) for environment in self._environments]
        while any(not episode.over for episode in playing):
            actions = policy.act_in_all(
                [episode.observations for episode in playing], [episode.infos for episode in playing], greedy=True
            )
            for index, episode in enumerate(playing):
                if episode.over:
                    continue
                policy.end(episode.step(actions[index]), index)
                if episode.over:
                    yield episode
                    policy.reset(environments=[index])
                    playing[index] = Episode.begin(self._environments[index], next(seeds, None))

    def _team_return(self, episode: "Episode") -> float:
        total = sum(episode.returns.values())
        return total if self._sums else total / len(episode.returns)


@dataclass
class Episode:
    """An episode as it is played; `over` from the start where there is no seed left."""

    environment: Any
    observations: dict[Any, Any]
    infos: dict[Any, Any]
    returns: dict[Any, float]
    over: bool = False
    steps: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    ended: set[Any] = field(default_factory=set)

    @classmethod
    def begin(cls, environment: Any, seed: int | None) -> "Episode":
        if seed is None:
            return cls(environment, {}, {}, {}, over=True)
        observations, infos = environment.reset(seed=seed)
        return cls(environment, observations, infos, dict.fromkeys(environment.possible_agents, 0.0))

    def step(self, actions: dict[Any, Any]) -> dict[Any, bool]:
        """One step; returns who has terminated."""
        observations, rewards, terminateds, truncateds, self.infos = self.environment.step(actions)
        self.steps += 1
        for agent, reward in rewards.items():
            self.returns[agent] += float(reward)
        self.ended |= {agent for ends in (terminateds, truncateds) for agent, ended in ends.items() if ended}
        self.observations = {agent: value for agent, value in observations.items() if agent not in self.ended}
        self.over = "__all__" in self.ended
        if self.over:
            self.metrics = dict(self.infos.get("__common__", {}).get("episode_metrics", {}))
        return terminateds
