"""What the team's values are fitted to, and the loss: pure functions of tensors.

B episodes of T steps, N agents; the observation that an episode ended with stands at step T.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from rllib_mamba.imagination import lambda_returns

TeamReward = Literal["mean", "sum"]


def team_reward(reward: Tensor, kind: TeamReward) -> Tensor:
    """A team's reward (B, T) from its agents' (B, T, N), as `TeamEnv` joins them."""
    return reward.mean(dim=-1) if kind == "mean" else reward.sum(dim=-1)


def value_targets(
    reward: Tensor, terminated: Tensor, filled: Tensor, value: Tensor, gamma: float, trace_decay: float
) -> Tensor:
    """Peng's Q(lambda): what is left of an episode's reward, with the best values of later steps mixed in.

    With a trace decay of 0 it is the reward and the discounted best value of the next step (Rashid et al., 2018,
    equation 6). An episode that was cut short by a time limit goes on with the value of its final observation.

    Args:
        reward: (B, T).
        terminated: (B, T) bool, whether the episode ended by itself after the step.
        filled: (B, T) bool, whether the step was taken; elsewhere the result means nothing.
        value: (B, T + 1), of the best actions; or (B, T + 1, N) for agents that learn each for itself.
        gamma: Discount of a step.
        trace_decay: Lambda in [0, 1].

    Returns:
        (B, T) or (B, T, N).
    """
    if value.dim() == 3:
        reward, terminated, filled = reward.unsqueeze(-1), terminated.unsqueeze(-1), filled.unsqueeze(-1)
    discount = gamma * (filled & ~terminated).to(value.dtype)
    # Behind its end an episode is worth what its final observation is, whatever the length of the others.
    reward = torch.where(filled, reward, value[:, :-1])
    returns = lambda_returns(reward.transpose(0, 1), discount.transpose(0, 1), value.transpose(0, 1), trace_decay)
    return returns.transpose(0, 1)


def taken_steps(filled: Tensor, value: Tensor) -> Tensor:
    """A mask of the shape of `value`, (B, T) or (B, T, N), of the steps that were taken, from `filled` (B, T) bool."""
    return filled.reshape(*filled.shape, *(1,) * (value.dim() - 2)).expand_as(value)
