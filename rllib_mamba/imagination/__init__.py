"""Learning from imagined trajectories: plain torch, it knows nothing of RLlib."""

from rllib_mamba.imagination.actor_critic import Actor, Critic, mask_logits
from rllib_mamba.imagination.options import ImaginationOptions
from rllib_mamba.imagination.ppo import Experience, PolicyLoss, policy_loss, prepare, value_loss
from rllib_mamba.imagination.returns import lambda_returns
from rllib_mamba.imagination.rollout import Rollout, imagine
from rllib_mamba.imagination.update import (
    AgentProgress,
    GradientHook,
    agent_update,
    clip_gradients,
    gradient_step,
)

__all__ = [
    "Actor",
    "AgentProgress",
    "Critic",
    "Experience",
    "GradientHook",
    "ImaginationOptions",
    "PolicyLoss",
    "Rollout",
    "agent_update",
    "clip_gradients",
    "gradient_step",
    "imagine",
    "lambda_returns",
    "mask_logits",
    "policy_loss",
    "prepare",
    "value_loss",
]
