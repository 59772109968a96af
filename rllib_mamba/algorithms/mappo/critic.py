"""The critics of a team: what they see, and their values in normalised units. Torch only; used in training alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rllib_mamba.algorithms.mappo.networks import NetworkSizes, TeamNetwork, agent_ids
from rllib_mamba.algorithms.normalization import RunningNormalizer

OUTPUT_GAIN = 0.01
"""Scale of the initial weights of the values: the first advantages are returns, not the noise of an untrained critic
(the publication's code: 1)."""


@dataclass(frozen=True)
class CriticInputs:
    """What the critic of one agent sees. Source: Yu et al., 2022, section 5.2.

    Attributes:
        num_agents: N.
        observation_size: O.
        state_size: S, of the environment's global state; None where it gives none: then the joined observations of the
            team, N * O numbers, take its place.
        centralized: False leaves only the agent's own observation and place (independent PPO).
        agent_specific: whether the own observation and place stand beside the state.
        agent_id_input: whether the place (one-hot) is an input.
        mask_dead: whether an agent that has ended sees zeros and its place, instead of a state that it has no part in.
    """

    num_agents: int
    observation_size: int
    state_size: int | None = None
    centralized: bool = True
    agent_specific: bool = True
    agent_id_input: bool = True
    mask_dead: bool = True

    @property
    def size(self) -> int:
        """K, numbers that one agent's critic sees."""
        shared = self.num_agents * self.observation_size if self.state_size is None else self.state_size
        own = self.observation_size + self.agent_id_input * self.num_agents
        return self.centralized * shared + self._sees_its_own * own

    @property
    def _sees_its_own(self) -> bool:
        return self.agent_specific or not self.centralized

    def build(self, observation: dict[str, Tensor]) -> Tensor:
        """Inputs (..., N, K) from the team observation's parts: `obs` (..., N, O), `ended` (..., N), `state` (..., S).

        An agent that has ended sees zeros, and its place, where its critic is of its own (`agent_specific`); the value
        of a state alone is the same for the living and the dead.
        """
        own = observation["obs"].float()
        parts = []
        if self.centralized:
            shared = own.flatten(-2) if self.state_size is None else observation["state"].float()
            parts.append(shared.unsqueeze(-2).expand(*own.shape[:-1], shared.shape[-1]))
        if not self._sees_its_own:
            return parts[0]
        inputs = torch.cat([*parts, own], dim=-1)
        if self.mask_dead:
            inputs = inputs.masked_fill(observation["ended"].bool().unsqueeze(-1), 0.0)
        return torch.cat([inputs, agent_ids(own)], dim=-1) if self.agent_id_input else inputs


class Critic(nn.Module):
    """The values of all agents of a team.

    Args:
        inputs: what it sees.
        sizes: of its networks.
        normalization: "running", "popart" or None; see `RunningNormalizer`.
    """

    def __init__(self, inputs: CriticInputs, sizes: NetworkSizes, normalization: str | None = "running") -> None:
        super().__init__()
        self.inputs = inputs
        self.network = TeamNetwork(inputs.size, 1, sizes, OUTPUT_GAIN)
        self.normalizer: RunningNormalizer | None = None
        if normalization is not None:
            preserved = self.network.outputs if normalization == "popart" else []
            self.normalizer = RunningNormalizer(len(self.network.outputs), preserved)

    def initial_state(self, batch_shape: tuple[int, ...]) -> Tensor:
        """The recurrent state (..., N, H) before an episode's first step."""
        return self.network.initial_state(batch_shape)

    def forward(self, observation: dict[str, Tensor], hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Values (B, T, N), in the units the network learns in, and the state (B, N, H) after the last of T steps."""
        values, hidden = self.network(self.inputs.build(observation), hidden)
        return values.squeeze(-1), hidden

    def normalize(self, values: Tensor) -> Tensor:
        """From units of the reward to those the network learns in, (..., N) each."""
        return values if self.normalizer is None else self.normalizer.normalize(values)

    def denormalize(self, values: Tensor) -> Tensor:
        """From the units the network learns in to those of the reward, (..., N) each."""
        return values if self.normalizer is None else self.normalizer.denormalize(values)
