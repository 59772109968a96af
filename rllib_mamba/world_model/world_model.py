"""The world model of a team: encoder, recurrent state-space model, decoder and heads."""

from torch import Tensor, nn

from rllib_mamba.world_model.config import WorldModelConfig
from rllib_mamba.world_model.features import Features, IndexedFeatures
from rllib_mamba.world_model.heads import ActionInformationHead, FeatureHead
from rllib_mamba.world_model.networks import ObservationDecoder, ObservationEncoder, initialise_matrices_xavier
from rllib_mamba.world_model.observation_normalizer import ObservationNormalizer
from rllib_mamba.world_model.rssm import RSSM, LatentState
from rllib_mamba.world_model.sampling import Sampler


class WorldModel(nn.Module):
    """Predicts what a team will observe and receive; its weights are shared by all agents.

    Source: Egorov and Shpilman, "Scalable Multi-Agent Model-Based Reinforcement Learning", 2022, section 4.
    """

    def __init__(self, config: WorldModelConfig) -> None:
        super().__init__()
        self.config = config
        features, hidden = config.feature_size, config.hidden_size
        self.normalizer = ObservationNormalizer(config.observation_size) if config.normalize_observations else None
        self.encoder = ObservationEncoder(config.observation_size, hidden)
        self.rssm = RSSM(config)
        self.decoder = ObservationDecoder(features, hidden, config.observation_size)
        self.reward_head = FeatureHead(features, hidden, 1)
        self.continue_head = FeatureHead(features, hidden, 1)
        self.action_mask_head = (
            FeatureHead(features, hidden, config.num_actions) if config.predict_action_mask else None
        )
        self.action_information_head = ActionInformationHead(hidden, config.num_actions)
        initialise_matrices_xavier(self)

    def initial_state(self, batch_shape: tuple[int, ...], num_agents: int) -> LatentState:
        """The state before the first observation: zeros of shape (*batch_shape, N, S) and (*batch_shape, N, D)."""
        weight = self.rssm.message.weight
        return LatentState(
            weight.new_zeros(*batch_shape, num_agents, self.config.stochastic_size),
            weight.new_zeros(*batch_shape, num_agents, self.config.deterministic_size),
        )

    def encode(self, observation: Tensor) -> Tensor:
        """Embedding (..., N, H) of observations (..., N, O)."""
        embedding: Tensor = self.encoder(observation if self.normalizer is None else self.normalizer(observation))
        return embedding

    def observe_step(
        self,
        previous: LatentState,
        previous_action: Tensor,
        embedding: Tensor,
        sampler: Sampler,
        hear: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, LatentState]:
        """Take in one observation.

        Args:
            previous: state before, (B, N, S) and (B, N, D).
            previous_action: (B, N, A), one-hot; zeros at an episode's start.
            embedding: (B, N, H), the encoded observation.
            hear: (B, N, N) bool, true at [i, j] where i hears j; None lets everyone hear everyone.

        Returns:
            Prior logits (B, N, S), posterior logits (B, N, S) and the posterior state.
        """
        deterministic = self.rssm.transition(previous, previous_action, hear)
        posterior_logits = self.rssm.posterior_logits(deterministic, embedding)
        stochastic = self.rssm.sample(posterior_logits, sampler)
        return self.rssm.prior_logits(deterministic), posterior_logits, LatentState(stochastic, deterministic)

    def imagine_step(
        self, state: LatentState, action: Tensor, sampler: Sampler, hear: Tensor | None = None
    ) -> tuple[Tensor, LatentState]:
        """Prior logits (..., N, S) and next state after one-hot actions (..., N, A), without an observation."""
        deterministic = self.rssm.transition(state, action, hear)
        logits = self.rssm.prior_logits(deterministic)
        return logits, LatentState(self.rssm.sample(logits, sampler), deterministic)

    def imagine_indexed(
        self, state: IndexedFeatures, action: Tensor, sampler: Sampler, hear: Tensor | None = None
    ) -> IndexedFeatures:
        """The next state of `imagine_step`, for a state with its latent as class indices; without gradient."""
        deterministic = self.rssm.transition(state, action, hear)
        latent = self.rssm.sample_index(self.rssm.prior_logits(deterministic), sampler)
        return IndexedFeatures(latent, deterministic, state.num_classes)

    def reward(self, features: Features) -> Tensor:
        """Reward (..., N) of a step, from the features [z_t, h_{t+1}] (..., N, F)."""
        predictions: Tensor = self.reward_head(features)
        return predictions.squeeze(-1)

    def continue_logits(self, features: Features) -> Tensor:
        """Logits (..., N) that an agent has not ended after a step, from the features [z_t, h_{t+1}] (..., N, F)."""
        logits: Tensor = self.continue_head(features)
        return logits.squeeze(-1)

    def action_mask_logits(self, features: Features) -> Tensor:
        """Logits (..., N, A) that each action is legal, from the features [z_t, h_t] (..., N, F).

        Raises:
            RuntimeError: if the model was built with `predict_action_mask=False`.
        """
        if self.action_mask_head is None:
            raise RuntimeError("This world model has no action-mask head: build it with predict_action_mask=True.")
        logits: Tensor = self.action_mask_head(features)
        return logits

    def decode(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstructed observation (..., N, O) and the decoder's last hidden layer (..., N, H)."""
        reconstruction, hidden = self.decoder(features)
        return reconstruction if self.normalizer is None else self.normalizer.inverse(reconstruction), hidden

    def action_information(self, hidden: Tensor) -> Tensor:
        """Logits (..., N, A) of the previous action, from the decoder's last hidden layer (..., N, H)."""
        logits: Tensor = self.action_information_head(hidden)
        return logits
