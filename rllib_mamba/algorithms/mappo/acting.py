"""How a trained team acts: torch only, shared by the RLlib module and the policy without a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from rllib_mamba.algorithms.mappo.networks import NetworkSizes, TeamNetwork, agent_ids
from rllib_mamba.algorithms.policy import ActingNetworks
from rllib_mamba.imagination.actor_critic import mask_logits

OUTPUT_GAIN = 0.01
"""Scale of the initial weights of the logits: the first policy is close to uniform. Source: the publication."""


@dataclass(frozen=True)
class ActorConfig:
    """What a team's actor is made of.

    Attributes:
        observation_size: O.
        num_actions: A.
        sizes: of its networks.
        agent_id_input: whether an agent's place in the team is an input.
    """

    observation_size: int
    num_actions: int
    sizes: NetworkSizes
    agent_id_input: bool = True


class ActorState(NamedTuple):
    """What a team remembers between two steps: `hidden` (..., N, H), without a GRU (..., N, 0)."""

    hidden: Tensor


class TeamActor(ActingNetworks):
    """The policies of all agents of a team, each from its own observations only."""

    def __init__(self, config: ActorConfig) -> None:
        super().__init__()
        self.config = config
        input_size = config.observation_size + config.agent_id_input * config.sizes.num_agents
        self.network = TeamNetwork(input_size, config.num_actions, config.sizes, OUTPUT_GAIN)

    def initial_state(self, batch_shape: tuple[int, ...], num_agents: int) -> ActorState:
        """The state before an episode's first step."""
        return ActorState(self.network.initial_state(batch_shape))

    def forward(self, observation: Tensor, action_mask: Tensor | None, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, T, N, A), -1e10 where illegal, and the state (B, N, H) after the last of T steps.

        Args:
            observation: (B, T, N, O).
            action_mask: (B, T, N, A), nonzero where legal; None for all.
            hidden: (B, N, H) before the first step.
        """
        inputs = observation.float()
        if self.config.agent_id_input:
            inputs = torch.cat([inputs, agent_ids(inputs)], dim=-1)
        logits, hidden = self.network(inputs, hidden)
        return logits if action_mask is None else mask_logits(logits, action_mask.bool()), hidden

    def act(self, observation: dict[str, Tensor], state: ActorState, greedy: bool) -> tuple[Tensor, ActorState]:
        """One step of every agent; see `ActingNetworks.act`."""
        logits, state = self.step(observation, state)
        return logits.argmax(dim=-1) if greedy else sample(logits), state

    def step(self, observation: dict[str, Tensor], state: ActorState) -> tuple[Tensor, ActorState]:
        """Logits (B, N, A) for one step's team observations, and the next state."""
        mask = observation.get("action_mask")
        logits, hidden = self(
            observation["obs"].unsqueeze(1), None if mask is None else mask.unsqueeze(1), state.hidden
        )
        return logits.squeeze(1), ActorState(hidden)


def sample(logits: Tensor) -> Tensor:
    """Actions (...) int64 drawn from logits (..., A)."""
    probabilities = torch.softmax(logits, dim=-1)
    return torch.multinomial(probabilities.flatten(0, -2), 1).reshape(logits.shape[:-1])
