"""The networks of actors and critics, one for all agents of a team or one for each: torch only."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class NetworkSizes:
    """The shape of every network of a team, for N agents.

    Attributes:
        num_agents: N.
        hidden_size: H, width of the hidden layers and of the recurrent state.
        num_hidden_layers: hidden layers before the GRU or the output.
        normalize_inputs: whether there is layer normalisation of the inputs.
        recurrent: whether there is a GRU.
        shared: one network for all agents; otherwise every agent has one of its own.
    """

    num_agents: int
    hidden_size: int = 64
    num_hidden_layers: int = 2
    normalize_inputs: bool = True
    recurrent: bool = True
    shared: bool = True

    @property
    def state_size(self) -> int:
        """Numbers that an agent's network remembers between two steps."""
        return self.hidden_size if self.recurrent else 0


class AgentNetwork(nn.Module):
    """Perhaps normalised inputs, hidden layers with ReLU and layer normalisation, perhaps a GRU, a linear output.

    Weights are orthogonal, biases zero. Source: Yu et al., 2022 (arXiv 2103.01955), appendix C, and its code.

    Args:
        input_size: K.
        output_size: of the linear output.
        sizes: of the rest.
        output_gain: scale of the output's initial weights.
    """

    def __init__(self, input_size: int, output_size: int, sizes: NetworkSizes, output_gain: float = 1.0) -> None:
        super().__init__()
        widths = [input_size, *[sizes.hidden_size] * sizes.num_hidden_layers]
        layers: list[nn.Module] = [nn.LayerNorm(input_size)] if sizes.normalize_inputs else []
        for before, after in itertools.pairwise(widths):
            layers += [_orthogonal(nn.Linear(before, after), nn.init.calculate_gain("relu")), nn.ReLU()]
            layers.append(nn.LayerNorm(after))
        self.layers = nn.Sequential(*layers)
        self.recurrent: nn.GRU | None = None
        self.recurrent_norm: nn.LayerNorm | None = None
        if sizes.recurrent:
            self.recurrent = nn.GRU(widths[-1], sizes.hidden_size, batch_first=True)
            for name, parameter in self.recurrent.named_parameters():
                if "bias" in name:
                    nn.init.zeros_(parameter)
                else:
                    nn.init.orthogonal_(parameter)
            self.recurrent_norm = nn.LayerNorm(sizes.hidden_size)
        self.output = _orthogonal(nn.Linear(sizes.hidden_size, output_size), output_gain)

    def forward(self, inputs: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (B, T, output_size) and the state (B, H) after the last of T steps.

        Args:
            inputs: (B, T, K).
            hidden: (B, H) before the first step; (B, 0) without a GRU.
        """
        features = self.layers(inputs)
        if self.recurrent is not None and self.recurrent_norm is not None:
            features, last = self.recurrent(features, hidden.unsqueeze(0).contiguous())
            features, hidden = self.recurrent_norm(features), last.squeeze(0)
        return self.output(features), hidden


class TeamNetwork(nn.Module):
    """The networks of all agents of a team, which see only what is theirs.

    Args:
        input_size: K, numbers that go in for one agent at one step.
        output_size: numbers that come out.
        sizes: see there.
        output_gain: scale of the output's initial weights.
    """

    def __init__(self, input_size: int, output_size: int, sizes: NetworkSizes, output_gain: float = 1.0) -> None:
        super().__init__()
        self.sizes = sizes
        number = 1 if sizes.shared else sizes.num_agents
        self.agents: Any = nn.ModuleList(
            AgentNetwork(input_size, output_size, sizes, output_gain) for _ in range(number)
        )

    @property
    def outputs(self) -> list[nn.Linear]:
        """The linear output of every network."""
        return [network.output for network in self.agents]

    def initial_state(self, batch_shape: tuple[int, ...]) -> Tensor:
        """The recurrent state (..., N, H) before an episode's first step; (..., N, 0) without a GRU."""
        return torch.zeros((*batch_shape, self.sizes.num_agents, self.sizes.state_size))

    def forward(self, inputs: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (B, T, N, output_size) and the state (B, N, H) after the last of T steps.

        Args:
            inputs: (B, T, N, K).
            hidden: (B, N, H) before the first step; (B, N, 0) without a GRU.
        """
        if self.sizes.shared:
            batch_size, length, num_agents, _ = inputs.shape
            # One sequence for each agent of each batch entry.
            sequences = inputs.transpose(1, 2).reshape(batch_size * num_agents, length, -1)
            outputs, last = self.agents[0](sequences, hidden.reshape(batch_size * num_agents, -1))
            outputs = outputs.reshape(batch_size, num_agents, length, -1).transpose(1, 2)
            return outputs, last.reshape(hidden.shape)
        results = [network(inputs[:, :, agent], hidden[:, agent]) for agent, network in enumerate(self.agents)]
        return torch.stack([outputs for outputs, _ in results], dim=2), torch.stack(
            [last for _, last in results], dim=1
        )


def agent_ids(like: Tensor) -> Tensor:
    """One-hot places of the agents in the team (..., N, N), for a tensor (..., N, anything)."""
    num_agents = like.shape[-2]
    identity = torch.eye(num_agents, dtype=torch.float32, device=like.device)
    return identity.expand(*like.shape[:-1], num_agents)


def _orthogonal(layer: nn.Linear, gain: float) -> nn.Linear:
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer
