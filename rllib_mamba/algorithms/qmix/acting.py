"""The network by which each agent of a team values its actions, and how a team acts with it: torch only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from rllib_mamba.algorithms.policy import ActingNetworks

NO_OP = 0
"""The action of an agent that has none to choose: it has ended, waits for its turn, or has not appeared yet."""


@dataclass(frozen=True)
class AgentNetworkConfig:
    """Sizes of an `AgentNetwork`, for N agents with observations of O numbers and A actions.

    Attributes:
        observation_size: O.
        num_agents: N.
        num_actions: A.
        hidden_size: H, width of the hidden layer and of the recurrent state.
        last_action_input: whether the previous action is an input.
        agent_id_input: whether the agent's place in the team is one.
        epsilon: the share of random actions where it acts neither greedily nor with an epsilon that is given.
    """

    observation_size: int
    num_agents: int
    num_actions: int
    hidden_size: int = 64
    last_action_input: bool = True
    agent_id_input: bool = True
    epsilon: float = 0.05

    @property
    def input_size(self) -> int:
        """Numbers that go in for one agent at one step."""
        return self.observation_size + self.last_action_input * self.num_actions + self.agent_id_input * self.num_agents


class TeamState(NamedTuple):
    """What a team remembers between two steps.

    Shapes: `hidden` (..., N, H); `previous_action` (..., N) int64, -1 before an episode's first step.
    """

    hidden: Tensor
    previous_action: Tensor


class AgentNetwork(ActingNetworks):
    """A GRU between two linear layers, with one set of weights for all agents.

    Source: Rashid et al., 2018 (arXiv 1803.11485), figure 2c and appendix C.

    Args:
        config: The sizes.
    """

    def __init__(self, config: AgentNetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = nn.Linear(config.input_size, config.hidden_size)
        self.recurrent = nn.GRU(config.hidden_size, config.hidden_size, batch_first=True)
        self.action_values = nn.Linear(config.hidden_size, config.num_actions)

    def initial_state(self, batch_shape: tuple[int, ...], num_agents: int) -> TeamState:
        """The state before an episode's first step."""
        shape = (*batch_shape, num_agents)
        return TeamState(
            hidden=torch.zeros((*shape, self.config.hidden_size)),
            previous_action=torch.full(shape, -1, dtype=torch.int64),
        )

    def forward(self, observation: Tensor, previous_action: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """The values of all actions at T consecutive steps.

        Args:
            observation: (B, T, N, O).
            previous_action: (B, T, N) int64, -1 for none.
            hidden: (B, N, H), before the first of the steps.

        Returns:
            Values (B, T, N, A), and the recurrent state (B, N, H) after the last step.
        """
        batch_size, length, num_agents, _ = observation.shape
        embedding = functional.relu(self.encoder(self._inputs(observation, previous_action)))
        # One sequence for each agent of each episode.
        sequences = embedding.transpose(1, 2).reshape(batch_size * num_agents, length, -1)
        outputs, last = self.recurrent(sequences, hidden.reshape(1, batch_size * num_agents, -1))
        values = self.action_values(outputs).reshape(batch_size, num_agents, length, -1).transpose(1, 2)
        return values, last.reshape(hidden.shape)

    def _inputs(self, observation: Tensor, previous_action: Tensor) -> Tensor:
        parts = [observation]
        if self.config.last_action_input:
            actions = torch.arange(self.config.num_actions, device=observation.device)
            parts.append((previous_action.unsqueeze(-1) == actions).to(observation.dtype))
        if self.config.agent_id_input:
            identity = torch.eye(self.config.num_agents, dtype=observation.dtype, device=observation.device)
            parts.append(identity.expand(*observation.shape[:-1], -1))
        return torch.cat(parts, dim=-1)

    def act(
        self, observation: dict[str, Tensor], state: TeamState, greedy: bool, epsilon: float | None = None
    ) -> tuple[Tensor, TeamState]:
        """One step of every agent: the best legal action or, with probability epsilon, any legal one.

        See `ActingNetworks.act`; `observation` has a part `alive` (B, N) too. Every agent for itself acts at random or
        not. The action of one that is not alive is `NO_OP`.
        """
        epsilon = self.config.epsilon if epsilon is None else epsilon
        values, hidden = self(observation["obs"].float().unsqueeze(1), state.previous_action.unsqueeze(1), state.hidden)
        legal = legal_actions(observation["alive"], observation.get("action_mask"), self.config.num_actions)
        action = best_actions(values.squeeze(1), legal)
        if not greedy and epsilon > 0:
            uniform = torch.multinomial(legal.flatten(0, -2).float(), 1).reshape(action.shape)
            action = torch.where(torch.rand(action.shape, device=action.device) < epsilon, uniform, action)
        return action, TeamState(hidden, action)


def legal_actions(alive: Tensor, action_mask: Tensor | None, num_actions: int) -> Tensor:
    """Which actions count: the legal ones of an agent that acts, `NO_OP` alone where there are none.

    Args:
        alive: (..., N), nonzero where the agent acts.
        action_mask: (..., N, A), nonzero where an action is legal; None for all.
        num_actions: A.

    Returns:
        (..., N, A) bool, in every row at least one.
    """
    mask = alive.new_ones((*alive.shape, num_actions)) if action_mask is None else action_mask
    legal = mask.bool() & alive.bool().unsqueeze(-1)
    no_op = torch.arange(num_actions, device=alive.device) == NO_OP
    return torch.where(legal.any(dim=-1, keepdim=True), legal, no_op)


def best_actions(values: Tensor, legal: Tensor) -> Tensor:
    """The legal action of the highest value: (..., A) each to (...) int64."""
    return values.masked_fill(~legal, -torch.inf).argmax(dim=-1)
