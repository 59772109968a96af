"""Trajectories imagined by the world model under the current policy."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rllib_mamba.imagination.actor_critic import Actor
from rllib_mamba.world_model.predictions import StartStates
from rllib_mamba.world_model.rssm import LatentState
from rllib_mamba.world_model.sampling import Sampler
from rllib_mamba.world_model.world_model import WorldModel


class Rollout(NamedTuple):
    """L imagined states of M teams and the L - 1 steps between them, without gradient.

    Attributes:
        features: (L, M, N, F), [z_t, h_t]; row 0 holds the start states.
        action: (L - 1, M, N) int64.
        action_mask: (L - 1, M, N, A) bool, actions imagined to be legal, or None.
        policy_logits: (L - 1, M, N, A), masked.
        reward: (L - 1, M, N), of each agent.
        continuation: (L - 1, M, N), probability that the agent goes on after the step.
        dead: (M, N) bool, agents that had ended when imagination began, or None.
    """

    features: Tensor
    action: Tensor
    action_mask: Tensor | None
    policy_logits: Tensor
    reward: Tensor
    continuation: Tensor
    dead: Tensor | None


@torch.no_grad()
def imagine(model: WorldModel, actor: Actor, start: StartStates, horizon: int, sampler: Sampler) -> Rollout:
    """Follow the policy through the world model for `horizon` states, the start included.

    The world model is used in evaluation mode. Actions that a sample of the action-mask head calls illegal are
    not taken. `start.hear` holds throughout.
    """
    stochastic_size = model.config.stochastic_size
    features = start.state.stochastic.new_empty(horizon, *start.state.stochastic.shape[:-1], model.config.feature_size)
    features[0] = start.state.features
    actions, masks, logits = [], [], []
    with _evaluation_mode(model):
        for step in range(horizon - 1):
            state = LatentState(features[step, ..., :stochastic_size], features[step, ..., stochastic_size:])
            mask = _imagined_action_mask(model, features[step], sampler)
            policy_logits = actor(features[step], mask)
            action = sampler.one_hot(torch.softmax(policy_logits, -1))
            _, following = model.imagine_step(state, action, sampler, start.hear)
            features[step + 1, ..., :stochastic_size] = following.stochastic
            features[step + 1, ..., stochastic_size:] = following.deterministic
            actions.append(action.argmax(-1))
            masks.append(mask)
            logits.append(policy_logits)
    reward, continuation = _outcomes(model, features)
    return Rollout(
        features=features,
        action=torch.stack(actions),
        action_mask=torch.stack([mask for mask in masks if mask is not None]) if masks[0] is not None else None,
        policy_logits=torch.stack(logits),
        reward=reward,
        continuation=continuation,
        dead=start.dead,
    )


def _imagined_action_mask(model: WorldModel, features: Tensor, sampler: Sampler) -> Tensor | None:
    if not model.config.predict_action_mask:
        return None
    return sampler.bernoulli(torch.sigmoid(model.action_mask_logits(features))).bool()


def _outcomes(model: WorldModel, features: Tensor) -> tuple[Tensor, Tensor]:
    """Rewards and continue probabilities (L - 1, M, N), read from [z_t, h_{t+1}] of features (L, M, N, F)."""
    size = model.config.stochastic_size
    rewards, continuations = [], []
    for before, after in pairwise(features):
        outcome = torch.cat([before[..., :size], after[..., size:]], -1)
        rewards.append(model.reward(outcome))
        continuations.append(torch.sigmoid(model.continue_logits(outcome)))
    return torch.stack(rewards), torch.stack(continuations)


@contextmanager
def _evaluation_mode(module: nn.Module) -> Iterator[None]:
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)
