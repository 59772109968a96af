"""Trajectories imagined by the world model under the current policy."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rllib_mamba.imagination.actor_critic import Actor
from rllib_mamba.imagination.parts import parts_of
from rllib_mamba.world_model.features import Features, IndexedFeatures
from rllib_mamba.world_model.linear import constant_weights, product_type
from rllib_mamba.world_model.predictions import StartStates
from rllib_mamba.world_model.sampling import Sampler
from rllib_mamba.world_model.world_model import WorldModel


class Rollout(NamedTuple):
    """L imagined states of M teams and the L - 1 steps between them, without gradient.

    Attributes:
        features: (L, M, N, F), [z_t, h_t], from `imagine` with z in class indices; row 0 holds the start states.
        action: (L - 1, M, N) int64.
        action_mask: (L - 1, M, N, A) bool, actions imagined to be legal, or None.
        policy_logits: (L - 1, M, N, A), masked.
        reward: (L - 1, M, N), of each agent.
        continuation: (L - 1, M, N), probability that the agent goes on after the step.
        dead: (M, N) bool, agents that had ended when imagination began, or None.
    """

    features: Features
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
    state = IndexedFeatures.of(start.state.stochastic, start.state.deterministic, model.config.num_classes)
    num_starts, num_agents = state.latent.shape[:2]
    features = IndexedFeatures(
        state.latent.new_empty(horizon, *state.latent.shape),
        # In the format in which actor and critic multiply it.
        state.deterministic.new_empty(horizon, *state.deterministic.shape, dtype=product_type(state.deterministic)),
        state.num_classes,
    )
    followed = []
    with _evaluation_mode(model), constant_weights(model, actor):
        for part in parts_of(num_starts, num_agents, state.latent.device):
            hear = None if start.hear is None else start.hear[part]
            followed.append(_follow(model, actor, state[part], features, part, hear, sampler))
    return Rollout(features, *_join(followed, partial(torch.cat, dim=1)), start.dead)


class _Steps(NamedTuple):
    """What a `Rollout` has of each step beside the features."""

    action: Tensor
    action_mask: Tensor | None
    policy_logits: Tensor
    reward: Tensor
    continuation: Tensor


def _join(steps: list[_Steps], join: Callable[[list[Tensor]], Tensor]) -> _Steps:
    masks = [step.action_mask for step in steps if step.action_mask is not None]
    return _Steps(
        join([step.action for step in steps]),
        join(masks) if masks else None,
        join([step.policy_logits for step in steps]),
        join([step.reward for step in steps]),
        join([step.continuation for step in steps]),
    )


def _follow(
    model: WorldModel,
    actor: Actor,
    state: IndexedFeatures,
    features: IndexedFeatures,
    part: slice,
    hear: Tensor | None,
    sampler: Sampler,
) -> _Steps:
    """Imagine from a part of the starts, the states into `features`."""
    steps = []
    for step in range(len(features)):
        features.latent[step, part], features.deterministic[step, part] = state.latent, state.deterministic
        if step == len(features) - 1:
            break
        mask = _imagined_action_mask(model, state, sampler)
        policy_logits = actor(state, mask)
        action = sampler.one_hot(torch.softmax(policy_logits, -1))
        following = model.imagine_indexed(state, action, sampler, hear)
        outcome = IndexedFeatures(state.latent, following.deterministic, state.num_classes)
        continuation = torch.sigmoid(model.continue_logits(outcome))
        steps.append(_Steps(action.argmax(-1), mask, policy_logits, model.reward(outcome), continuation))
        state = following
    return _join(steps, torch.stack)


def _imagined_action_mask(model: WorldModel, features: IndexedFeatures, sampler: Sampler) -> Tensor | None:
    if not model.config.predict_action_mask:
        return None
    return sampler.bernoulli(torch.sigmoid(model.action_mask_logits(features))).bool()


@contextmanager
def _evaluation_mode(module: nn.Module) -> Iterator[None]:
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)
