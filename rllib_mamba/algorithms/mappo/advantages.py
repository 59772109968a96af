"""Generalised advantage estimation for every agent of a team, through death and waiting."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Estimate(NamedTuple):
    """Of the steps of F parts of episodes, each (F, T, N).

    Attributes:
        advantage: of the actions.
        target: what the values should be.
    """

    advantage: Tensor
    target: Tensor


def estimate_advantages(
    reward: Tensor, value: Tensor, discount: Tensor, trace_decay: float, waiting: Tensor
) -> Estimate:
    """Advantages of T consecutive steps of each agent, for F parts of episodes at once.

    At a step at which an agent acts: A_t = r_t + d_t * V_{t+1} - V_t + d_t * lambda * A_{t+1}. A step at which it
    waits has no value of its own: r_t + d_t * V_{t+1} takes the place of V_t, and A_t = d_t * A_{t+1}. So the reward
    received while it waits belongs to the action before, and lambda counts its own actions only. Targets are V_t + A_t.

    Args:
        reward: (F, T, N), received after the step.
        value: (F, T + 1, N), in units of the reward; the last one bootstraps.
        discount: (F, T, N), gamma, or 0 where the return ends with the step.
        trace_decay: lambda in [0, 1].
        waiting: (F, T, N) bool.

    Source: Schulman et al., 2016 (arXiv 1506.02438), equation 16.
    """
    advantage = torch.zeros_like(value[:, 0])
    next_value = value[:, -1]
    advantages, targets = [], []
    for step in reversed(range(reward.shape[1])):
        continued = discount[:, step] * next_value + reward[:, step]
        present = torch.where(waiting[:, step], continued, value[:, step])
        decay = torch.where(waiting[:, step], 1.0, trace_decay)
        advantage = continued - present + discount[:, step] * decay * advantage
        next_value = present
        advantages.append(advantage)
        targets.append(present + advantage)
    return Estimate(torch.stack(advantages[::-1], dim=1), torch.stack(targets[::-1], dim=1))


class Fragments(NamedTuple):
    """Where F parts of episodes stand in rows that follow each other.

    Attributes:
        rows: (F, T + 1) int64: the rows of each part's steps and the one behind them, which holds the observation that
            followed and is repeated up to the longest part.
        is_step: (F, T) bool: whether it is a step of the part.
    """

    rows: Tensor
    is_step: Tensor


def find_fragments(acted: Tensor) -> Fragments:
    """The parts of episodes in R rows.

    Args:
        acted: (R,) bool: true at the steps of a part, false at the row behind them and at any padding after it.
    """
    before = torch.cat([acted.new_zeros(1), acted[:-1]])
    starts = torch.nonzero(acted & ~before)
    ends = torch.nonzero(~acted & before)
    longest = int((ends - starts).max()) if len(starts) else 0
    rows = starts + torch.arange(longest + 1, device=acted.device)
    return Fragments(torch.minimum(rows, ends), rows[:, :-1] < ends)
