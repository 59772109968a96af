"""Team episodes whose numbers tell where they come from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from gymnasium.spaces import MultiDiscrete
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode

TEAM = "team"
ABSORBING = 0.0


@dataclass
class EpisodeMaker:
    """Plays episodes of one team in which every number is known.

    The observation at step t of episode e is 1000 * e + t everywhere, the action t % num_actions, the reward received
    with an observation the observation itself plus the agent's index. Agent i has ended from step `ends[i]` on.
    """

    num_agents: int = 3
    observation_size: int = 4
    num_actions: int = 5
    action_mask: bool = False
    comm_mask: bool = False

    def observation(self, episode: int, t: int, ends: Sequence[int]) -> dict[str, np.ndarray]:
        n = self.num_agents
        generator = np.random.default_rng(1000 * episode + t)
        ended = np.array([t >= end for end in ends], np.int8)
        value = 1000 * episode + t
        observation = {
            "obs": np.full((n, self.observation_size), value, np.float32) * (1 - ended)[:, None],
            "alive": 1 - ended,
            "ended": ended,
            "rewards": np.arange(n, dtype=np.float32) + value if t else np.zeros(n, np.float32),
        }
        if self.action_mask:
            observation["action_mask"] = generator.integers(2, size=(n, self.num_actions)).astype(np.int8)
        if self.comm_mask:
            observation["comm_mask"] = generator.integers(2, size=(n, n)).astype(np.int8)
        return observation

    def play(
        self,
        episode: int,
        length: int,
        *,
        chunk_length: int = 10**9,
        truncated: bool = False,
        ends: Sequence[int] | None = None,
        lookback: int = 1,
        to_numpy: bool = True,
    ) -> list[MultiAgentEpisode]:
        """The chunks of an episode as an env runner returns them."""
        if ends is None:
            ends = [length + truncated] * self.num_agents
        chunk = MultiAgentEpisode(
            observation_space={TEAM: None}, action_space={TEAM: MultiDiscrete([self.num_actions] * self.num_agents)}
        )
        chunk.add_env_reset(observations={TEAM: self.observation(episode, 0, ends)})
        chunks = []
        for t in range(length):
            done = t + 1 == length
            chunk.add_env_step(
                observations={TEAM: self.observation(episode, t + 1, ends)},
                actions={TEAM: np.full(self.num_agents, t % self.num_actions)},
                rewards={TEAM: 1.0},
                infos={},
                terminateds={"__all__": done and not truncated},
                truncateds={"__all__": done and truncated},
                extra_model_outputs={TEAM: {"state_out": np.zeros(1000)}},
            )
            if done or (t + 1) % chunk_length == 0:
                successor = None if done else chunk.cut(len_lookback_buffer=lookback)
                chunks.append(chunk.to_numpy() if to_numpy else chunk)
                chunk = successor
        return chunks


@pytest.fixture
def episode_maker() -> Callable[..., EpisodeMaker]:
    return EpisodeMaker
