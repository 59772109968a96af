"""The recurrent state-space model of a team: one latent state per agent, messages between them."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from rllib_mamba.world_model.communication import AgentAttention
from rllib_mamba.world_model.config import WorldModelConfig
from rllib_mamba.world_model.features import IndexedFeatures, index_type
from rllib_mamba.world_model.linear import Linear, WeightForms, full_precision, linear, linear_of_indexed
from rllib_mamba.world_model.networks import mlp
from rllib_mamba.world_model.recurrence import GRUCell
from rllib_mamba.world_model.sampling import Sampler, straight_through


class LatentState(NamedTuple):
    """State of every agent: `stochastic` z (..., N, S), C one-hots side by side, and `deterministic` h (..., N, D)."""

    stochastic: Tensor
    deterministic: Tensor

    @property
    def features(self) -> Tensor:
        """[z, h] (..., N, S + D)."""
        return torch.cat([self.stochastic, self.deterministic], -1)

    def detach(self) -> "LatentState":
        """The same values without gradient."""
        return LatentState(self.stochastic.detach(), self.deterministic.detach())

    def flatten(self, start: int = 0, end: int = 1) -> "LatentState":
        """Join the axes from `start` to `end`, as `Tensor.flatten`."""
        return LatentState(self.stochastic.flatten(start, end), self.deterministic.flatten(start, end))


class Unroll(NamedTuple):
    """What `RSSM.unroll` gives: `posterior` states and their `posterior_logits` (T, B, N, S)."""

    posterior: LatentState
    posterior_logits: Tensor


class RSSM(nn.Module):
    """Transition with communication, prior and posterior over discrete latents (MAMBA, section 4; DreamerV2)."""

    def __init__(self, config: WorldModelConfig) -> None:
        super().__init__()
        self.config = config
        hidden, deterministic, stochastic = config.hidden_size, config.deterministic_size, config.stochastic_size
        self.message = Linear(config.num_actions + stochastic, hidden)
        self.communication = AgentAttention(
            hidden,
            config.communication_layers,
            config.communication_heads,
            config.communication_dropout,
            config.communication,
        )
        self.recurrence = GRUCell(hidden, deterministic)
        self.prior_layers = mlp([deterministic, hidden, stochastic], nn.ReLU)
        self.posterior_hidden = Linear(deterministic + hidden, hidden)
        self.posterior_output = Linear(hidden, stochastic)

    def transition(self, state: LatentState | IndexedFeatures, action: Tensor, hear: Tensor | None = None) -> Tensor:
        """h (..., N, D) after one-hot actions (..., N, A) in `state`; `hear` (..., N, N) as in `AgentAttention`."""
        if isinstance(state, IndexedFeatures):
            return self._recur(self._message_of_indexed(state, action), state.deterministic, hear)
        message = self.message(torch.cat([action, state.stochastic], -1), relu=True)
        return self._recur(message, state.deterministic, hear)

    def prior_logits(self, deterministic: Tensor) -> Tensor:
        """Logits (..., N, S) of z given h (..., N, D)."""
        return full_precision(self.prior_layers(deterministic))

    def posterior_logits(self, deterministic: Tensor, embedding: Tensor) -> Tensor:
        """Logits (..., N, S) of z given h (..., N, D) and the embedded observation (..., N, H)."""
        hidden = self.posterior_hidden(torch.cat([deterministic, embedding], -1), relu=True)
        return full_precision(self.posterior_output(hidden))

    def sample(self, logits: Tensor, sampler: Sampler) -> Tensor:
        """z (..., S): one-hots drawn from the logits (..., S), with straight-through gradient."""
        grouped = logits.unflatten(-1, (self.config.num_categoricals, self.config.num_classes))
        probabilities = torch.softmax(grouped, -1)
        return straight_through(sampler.one_hot(probabilities), probabilities).flatten(-2)

    def sample_index(self, logits: Tensor, sampler: Sampler) -> Tensor:
        """z drawn from the logits (..., S), as class indices (..., C)."""
        grouped = logits.unflatten(-1, (self.config.num_categoricals, self.config.num_classes))
        return sampler.index(torch.softmax(grouped, -1)).to(index_type(self.config.num_classes))

    def unroll(
        self,
        embedding: Tensor,
        previous_action: Tensor,
        first: Tensor,
        sampler: Sampler,
        hear: Tensor | None = None,
    ) -> Unroll:
        """Posterior states along observed sequences, from the zero state.

        Args:
            embedding: (T, B, N, H), embedded observations.
            previous_action: (T, B, N, A), one-hot actions that led to them.
            first: (T, B) bool, the state before this row is reset to zero.
            hear: (T, B, N, N) bool, who hears whom in the transition into a row.
        """
        action_weight, stochastic_weight = self._message_weights()
        deterministic_weight, embedding_weight = self._posterior_weights()
        action_part = linear(previous_action, action_weight, self.message.bias).unbind(0)
        embedding_part = linear(embedding, embedding_weight, self.posterior_hidden.bias).unbind(0)
        keep = ~first[..., None, None]
        state = LatentState(
            embedding.new_zeros(*embedding.shape[1:3], self.config.stochastic_size),
            embedding.new_zeros(*embedding.shape[1:3], self.config.deterministic_size),
        )
        stochastic_forms, deterministic_forms = WeightForms(stochastic_weight), WeightForms(deterministic_weight)
        states, logits = [], []
        for step in range(len(embedding)):
            heard = None if hear is None else hear[step]
            # What is left of the state before: nothing where an episode begins.
            from_latent = linear(state.stochastic, stochastic_weight, forms=stochastic_forms) * keep[step]
            message = torch.relu(from_latent + action_part[step])
            deterministic = self._recur(message, state.deterministic * keep[step], heard)
            from_transition = linear(deterministic, deterministic_weight, forms=deterministic_forms)
            step_logits = full_precision(self.posterior_output(torch.relu(from_transition + embedding_part[step])))
            state = LatentState(self.sample(step_logits, sampler), deterministic)
            states.append(state)
            logits.append(step_logits)
        posterior = LatentState(*(torch.stack(parts) for parts in zip(*states, strict=True)))
        return Unroll(posterior, torch.stack(logits))

    # The first layers of message and posterior read two inputs each. Their halves are applied apart, so that a time
    # loop holds only the half that recurs, and are cut out once per call: a cut inside the loop costs a full-size
    # gradient in every step.

    def _message_weights(self) -> tuple[Tensor, Tensor]:
        action, stochastic = self.message.weight.split([self.config.num_actions, self.config.stochastic_size], 1)
        return action.contiguous(), stochastic.contiguous()

    def _posterior_weights(self) -> tuple[Tensor, Tensor]:
        sizes = [self.config.deterministic_size, self.config.hidden_size]
        deterministic, embedding = self.posterior_hidden.weight.split(sizes, 1)
        return deterministic.contiguous(), embedding.contiguous()

    def _message_of_indexed(self, state: IndexedFeatures, action: Tensor) -> Tensor:
        # One-hots first, as `IndexedFeatures` are: [z, a] instead of the layer's [a, z].
        action_weight, stochastic_weight = self._message_weights()
        inputs = IndexedFeatures(state.latent, action, state.num_classes)
        return linear_of_indexed(inputs, torch.cat([stochastic_weight, action_weight], 1), self.message.bias, relu=True)

    def _recur(self, message: Tensor, deterministic: Tensor, hear: Tensor | None) -> Tensor:
        attended = self.communication(message, hear)
        following: Tensor = self.recurrence(attended.flatten(0, -2), deterministic.flatten(0, -2))
        return following.unflatten(0, attended.shape[:-1])
