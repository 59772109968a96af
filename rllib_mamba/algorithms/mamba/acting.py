"""How a trained team acts: torch only, shared by the RLlib module and the policy without a cluster."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from rllib_mamba.algorithms.policy import ActingNetworks
from rllib_mamba.imagination import Actor
from rllib_mamba.world_model import LatentState, ModeSampler, RandomSampler, WorldModel, WorldModelConfig, hearing


class TeamState(NamedTuple):
    """What a team remembers between two steps.

    Shapes: `latent` (..., N, C) int64, class indices of the latent sample, -1 before the first step;
    `deterministic` (..., N, D); `previous_action` (..., N) int64, -1 before the first; `ended` (..., N) int64,
    1 for agents that had ended and so sent no message.
    """

    latent: Tensor
    deterministic: Tensor
    previous_action: Tensor
    ended: Tensor


def make_actor(config: WorldModelConfig) -> Actor:
    """A new actor on the features of a world model."""
    return Actor(config.feature_size, config.hidden_size, config.num_actions)


class TeamNetworks(ActingNetworks):
    """The networks that act: the world model and the actor.

    Args:
        config: The world model's sizes.
        mask_dead_agents: Whether nobody listens to agents that have ended.
    """

    def __init__(self, config: WorldModelConfig, mask_dead_agents: bool) -> None:
        super().__init__()
        self.world_model = WorldModel(config)
        self.actor = make_actor(config)
        self.mask_dead_agents = mask_dead_agents

    def initial_state(self, batch_shape: tuple[int, ...], num_agents: int) -> TeamState:
        """The state before an episode's first step."""
        config = self.world_model.config
        shape = (*batch_shape, num_agents)
        return TeamState(
            latent=torch.full((*shape, config.num_categoricals), -1, dtype=torch.int64),
            deterministic=torch.zeros((*shape, config.deterministic_size)),
            previous_action=torch.full(shape, -1, dtype=torch.int64),
            ended=torch.zeros(shape, dtype=torch.int64),
        )

    def act(self, observation: dict[str, Tensor], state: TeamState, greedy: bool) -> tuple[Tensor, TeamState]:
        """One step of every agent: encode, one posterior update with the others' messages, sample from the actor.

        See `ActingNetworks.act`; greedy takes the most probable latent and action. Source: "Execution" of the
        publication's section 4.
        """
        world_model, config = self.world_model, self.world_model.config
        rssm = world_model.rssm
        sampler = ModeSampler() if greedy else RandomSampler()
        previous = LatentState(
            stochastic=_one_hot(state.latent, config.num_classes).flatten(-2), deterministic=state.deterministic
        )
        hear = hearing(
            observation["comm_mask"].bool() if "comm_mask" in observation else None,
            state.ended.bool() if self.mask_dead_agents else None,
        )
        deterministic = rssm.transition(previous, _one_hot(state.previous_action, config.num_actions), hear)
        embedding = world_model.encode(observation["obs"].float())
        posterior = LatentState(rssm.sample(rssm.posterior_logits(deterministic, embedding), sampler), deterministic)
        mask = observation.get("action_mask")
        logits = self.actor(posterior.features, None if mask is None else mask.bool())
        action = sampler.one_hot(functional.softmax(logits, dim=-1)).argmax(dim=-1)
        latent = posterior.stochastic.unflatten(-1, (config.num_categoricals, config.num_classes)).argmax(dim=-1)
        return action, TeamState(latent, posterior.deterministic, action, observation["ended"].long())


def _one_hot(index: Tensor, num_classes: int) -> Tensor:
    """One-hot vectors (..., num_classes) float32 of integers; -1 becomes zeros."""
    return (index.unsqueeze(-1) == torch.arange(num_classes, device=index.device)).float()
