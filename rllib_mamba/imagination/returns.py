"""Returns of imagined trajectories."""

import torch
from torch import Tensor


def lambda_returns(reward: Tensor, discount: Tensor, value: Tensor, trace_decay: float) -> Tensor:
    """R_t = r_t + d_t * ((1 - lambda) * V_{t+1} + lambda * R_{t+1}), bootstrapped with R_L = V_L.

    Args:
        reward: (L, ...), of steps 0 .. L - 1; may broadcast against the others.
        discount: (L, ...), gamma times the probability of going on after the step.
        value: (L + 1, ...), of states 0 .. L.
        trace_decay: lambda in [0, 1].

    Returns:
        (L, ...). Source: Sutton and Barto, 2018, equation 12.20; DreamerV2, equation 4.
    """
    one_step = reward + discount * (1 - trace_decay) * value[1:]
    returns = []
    following = value[-1]
    for step in reversed(range(len(discount))):
        following = one_step[step] + discount[step] * trace_decay * following
        returns.append(following)
    return torch.stack(returns[::-1])
