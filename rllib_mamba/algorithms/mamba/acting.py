"""How a trained team acts: torch only, shared by the RLlib module and the policy without a cluster."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from rllib_mamba.algorithms.policy import ActingNetworks
from rllib_mamba.imagination import Actor
from rllib_mamba.imagination.actor_critic import mask_logits
from rllib_mamba.world_model import ModeSampler, RandomSampler, WorldModel, WorldModelConfig, hearing
from rllib_mamba.world_model.linear import Linear
from rllib_mamba.world_model.prepared import PreparedLinear, PreparedOneHots, PreparedPosterior


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
        mixed_precision: Whether `act` multiplies in bfloat16; on a processor without such instructions it never does.
    """

    def __init__(self, config: WorldModelConfig, mask_dead_agents: bool, mixed_precision: bool = False) -> None:
        super().__init__()
        self.world_model = WorldModel(config)
        self.actor = make_actor(config)
        self.mask_dead_agents = mask_dead_agents
        self._mixed_precision = mixed_precision
        self._prepared: _PreparedNetworks | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_prepared": None}

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

    @torch.no_grad()
    def act(self, observation: dict[str, Tensor], state: TeamState, greedy: bool) -> tuple[Tensor, TeamState]:
        """One step of every agent: encode, one posterior update with the others' messages, sample from the actor.

        See `ActingNetworks.act`; greedy takes the most probable latent and action. Source: "Execution" of the
        publication's section 4.
        """
        if self._prepared is None or not self._prepared.is_current():
            self._prepared = _PreparedNetworks(self.world_model, self.actor, self._mixed_precision)
        prepared, config = self._prepared, self.world_model.config
        sampler = ModeSampler() if greedy else RandomSampler()
        deterministic, posterior_logits = prepared.posterior(
            state.latent,
            state.deterministic,
            state.previous_action,
            observation["obs"].float(),
            self._hear(observation, state.ended.bool()),
        )
        grouped = posterior_logits.view(-1, config.num_categoricals, config.num_classes)
        latent = sampler.index(torch.softmax(grouped, -1))
        logits = prepared.actor(latent, deterministic)
        if "action_mask" in observation:
            logits = mask_logits(logits, observation["action_mask"].flatten(0, 1).bool())
        action = sampler.index(torch.softmax(logits, -1)).view_as(state.previous_action)
        following = TeamState(
            latent=latent.view_as(state.latent),
            deterministic=deterministic.view_as(state.deterministic),
            previous_action=action,
            ended=observation["ended"].long(),
        )
        return action, following

    def _hear(self, observation: dict[str, Tensor], ended: Tensor) -> Tensor | None:
        return hearing(
            observation["comm_mask"].bool() if "comm_mask" in observation else None,
            ended if self.mask_dead_agents and ended.any() else None,
        )


class _PreparedNetworks:
    """The networks' weights laid out for acting, as long as they stay what they are."""

    def __init__(self, world_model: WorldModel, actor: Actor, mixed_precision: bool) -> None:
        used: tuple[nn.Module, ...] = (world_model.encoder, world_model.rssm, actor)
        if world_model.normalizer is not None:
            used += (world_model.normalizer,)
        # By name, because loading may put others in their place.
        self._places = [
            (owned, name)
            for part in used
            for module in part.modules()
            for owned in (module._parameters, module._buffers)
            for name in owned
        ]
        self._seen = self._versions()
        self.posterior = PreparedPosterior(world_model, mixed_precision)
        self.actor = _PreparedActor(actor, world_model.config, mixed_precision)

    def is_current(self) -> bool:
        """Whether no weight or statistic has been changed since."""
        return self._seen == self._versions()

    def _versions(self) -> list[tuple[int, int]]:
        tensors = (owned[name] for owned, name in self._places)
        return [(tensor.data_ptr(), tensor._version) for tensor in tensors if tensor is not None]


class _PreparedActor:
    """`Actor`, which reads class indices (R, C) of z, and h (R, D)."""

    def __init__(self, actor: Actor, config: WorldModelConfig, mixed_precision: bool) -> None:
        first, *others = (layer for layer in actor.layers if isinstance(layer, Linear))
        of_latent, of_deterministic = first.weight.split([config.stochastic_size, config.deterministic_size], 1)
        self._of_latent = PreparedOneHots(of_latent, [config.num_classes] * config.num_categoricals)
        self._of_deterministic = PreparedLinear(of_deterministic, first.bias, mixed_precision)
        self._others = [PreparedLinear.of(layer, mixed_precision) for layer in others]

    def __call__(self, latent: Tensor, deterministic: Tensor) -> Tensor:
        """Logits (R, A)."""
        hidden = self._of_deterministic.plus(deterministic, self._of_latent(latent))
        for layer in self._others:
            hidden = layer(hidden.relu_())
        return hidden
