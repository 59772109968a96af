"""The RLlib module of a MAPPO team: the agents' policies and their critics."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI
from ray.rllib.core.rl_module.rl_module import RLModule
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from ray.rllib.utils.annotations import override
from torch import Tensor

from rllib_mamba.algorithms.mappo.acting import ActorConfig, ActorState, TeamActor, sample
from rllib_mamba.algorithms.mappo.critic import Critic, CriticInputs
from rllib_mamba.algorithms.mappo.networks import NetworkSizes
from rllib_mamba.imagination.ppo import action_log_probability
from rllib_mamba.teams import columns

ACTOR = "actor"
CRITIC = "critic"


class MAPPORLModule(TorchRLModule, InferenceOnlyAPI):
    """Acts for all agents of a team at once, and holds their critics.

    Observation space: the team observation of `TeamEnv`. Action space: `MultiDiscrete([A] * N)`.
    It samples with the action mask applied and emits `Columns.ACTIONS` and `Columns.ACTION_LOGP` (B, T, N) itself. With
    a GRU its state holds what `ACTOR` and `CRITIC` remember, (N, H) each: the critic listens while experience is
    collected, so that its values can be computed on pieces of it later. Without a GRU there is no state.
    """

    networks: TeamActor
    critic: Critic

    @override(RLModule)
    def setup(self) -> None:
        options, space = self.model_config, self.observation_space
        num_agents, observation_size = _shape(space[columns.OBS])
        sizes = NetworkSizes(
            num_agents=num_agents,
            hidden_size=options["hidden_size"],
            num_hidden_layers=options["num_hidden_layers"],
            normalize_inputs=options["normalize_inputs"],
            recurrent=options["recurrent"],
            shared=options["share_policy"],
        )
        self.networks = TeamActor(
            ActorConfig(
                observation_size=observation_size,
                num_actions=int(self.action_space.nvec.max()),
                sizes=sizes,
                agent_id_input=options["agent_id_input"],
            )
        )
        self.critic = Critic(
            CriticInputs(
                num_agents=num_agents,
                observation_size=observation_size,
                state_size=_shape(space[columns.STATE])[0] if columns.STATE in space.spaces else None,
                centralized=options["use_centralized_critic"],
                agent_specific=options["agent_specific_critic"],
                agent_id_input=options["agent_id_input"],
                mask_dead=options["death_masking"],
            ),
            sizes,
            options["value_normalization"],
        )

    @override(InferenceOnlyAPI)
    def get_non_inference_attributes(self) -> list[str]:
        """What training needs and acting does not: the critic, unless it has to remember."""
        return [] if self.model_config["recurrent"] else ["critic"]

    @override(RLModule)
    def get_initial_state(self) -> dict[str, np.ndarray]:
        """The state before an episode's first step, without a batch dimension."""
        if not self.model_config["recurrent"]:
            return {}
        initial = self.networks.network.initial_state(()).numpy()
        return {ACTOR: initial, CRITIC: initial.copy()}

    @override(TorchRLModule)
    @torch.no_grad()
    def _forward_inference(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        logits, state = self._logits(batch)
        return {Columns.ACTIONS: logits.argmax(dim=-1), **_state_output(state)}

    @override(TorchRLModule)
    @torch.no_grad()
    def _forward_exploration(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        logits, state = self._logits(batch)
        actions = sample(logits)
        if state:
            state[CRITIC] = self.critic(batch[Columns.OBS], state[CRITIC])[1]
        log_probability = action_log_probability(logits, actions)
        return {Columns.ACTIONS: actions, Columns.ACTION_LOGP: log_probability, **_state_output(state)}

    def _logits(self, batch: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits (B, T, N, A) and the state after the actor's part; without a GRU (B, N, A) and no state."""
        observation = batch[Columns.OBS]
        if not self.model_config["recurrent"]:
            hidden = self.networks.network.initial_state((len(observation[columns.OBS]),))
            return self.networks.step(observation, ActorState(hidden))[0], {}
        state = dict(batch[Columns.STATE_IN])
        mask = observation.get(columns.ACTION_MASK)
        logits, state[ACTOR] = self.networks(observation[columns.OBS], mask, state[ACTOR])
        return logits, state

    @override(TorchRLModule)
    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        raise NotImplementedError("MAPPOLearner makes gradient steps of its own on actor and critic.")


def _state_output(state: dict[str, Tensor]) -> dict[str, Any]:
    return {Columns.STATE_OUT: state} if state else {}


def _shape(space: gym.Space) -> tuple[int, ...]:
    assert space.shape is not None
    return space.shape
