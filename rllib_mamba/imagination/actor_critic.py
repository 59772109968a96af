"""The policy of an agent and the critic of a team."""

import torch
from torch import Tensor, nn

from rllib_mamba.world_model.communication import AgentAttention
from rllib_mamba.world_model.features import Features
from rllib_mamba.world_model.linear import Linear, full_precision
from rllib_mamba.world_model.networks import initialise_matrices_orthogonal, initialise_matrices_xavier, mlp

ILLEGAL_LOGIT = -1e10


class Actor(nn.Module):
    """Policy of one agent, from its own features only; the weights are shared by the team."""

    def __init__(self, feature_size: int, hidden_size: int, num_actions: int) -> None:
        super().__init__()
        self.layers = mlp([feature_size, hidden_size, hidden_size, num_actions], nn.ReLU)
        initialise_matrices_orthogonal(self)

    def forward(self, features: Features, action_mask: Tensor | None = None) -> Tensor:
        """Logits (..., A) from features (..., F); actions illegal in `action_mask` (..., A) bool get -1e10.

        Where no action is legal all logits are equal, which is the uniform policy.
        """
        logits = full_precision(self.layers(features))
        return logits if action_mask is None else mask_logits(logits, action_mask)


class Critic(nn.Module):
    """Value of every agent, from the features of the whole team: it is used in training only."""

    def __init__(self, feature_size: int, hidden_size: int, num_heads: int = 8, communication: bool = True) -> None:
        super().__init__()
        self.embedding = Linear(feature_size, hidden_size)
        self.attention = AgentAttention(hidden_size, 1, num_heads, communication=communication)
        self.head = mlp([hidden_size, hidden_size, 1], nn.ReLU)
        initialise_matrices_xavier(self)

    def forward(self, features: Features, hear: Tensor | None = None) -> Tensor:
        """Values (..., N) from features (..., N, F); `hear` (..., N, N) bool is true where i attends to j."""
        attended = self.attention(self.embedding(features, relu=True), hear)
        values = full_precision(self.head(torch.relu(attended)))
        return values.squeeze(-1)


def mask_logits(logits: Tensor, action_mask: Tensor) -> Tensor:
    """Logits (..., A) with -1e10 where `action_mask` (..., A) bool is false."""
    return logits.masked_fill(~action_mask, ILLEGAL_LOGIT)
