"""The RLlib module of a MAMBA team: world model, actor and critic."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Self

import gymnasium as gym
import numpy as np
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI
from ray.rllib.core.rl_module.rl_module import RLModule
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from ray.rllib.utils.annotations import override

from rllib_mamba.algorithms.mamba.acting import TeamNetworks, TeamState, make_actor
from rllib_mamba.imagination import Critic
from rllib_mamba.teams import columns
from rllib_mamba.world_model import WorldModelConfig


class MAMBARLModule(TorchRLModule, InferenceOnlyAPI):
    """Encodes, communicates and acts for all agents of a team at once, and holds what is trained.

    Observation space: the team observation of `TeamEnv`. Action space: `MultiDiscrete([A] * N)`.
    It samples with the action mask applied and emits `Columns.ACTIONS` (B, T, N) itself. Its recurrent
    state is a `TeamState`: the latent sample as class indices, the recurrent vector, the previous action.
    """

    @override(RLModule)
    def setup(self) -> None:
        self.networks = TeamNetworks(
            world_model_config(self.observation_space, self.action_space, self.model_config),
            mask_dead_agents=self.model_config["mask_dead_agents"],
            mixed_precision=self.model_config["mixed_precision"],
        )
        self.critic = self._make_critic()
        self.target_critic = self._make_critic()
        self.target_critic.load_state_dict(self.critic.state_dict())
        self.target_critic.requires_grad_(False)

    def reset_agent(self) -> None:
        """Actor and critics begin anew, with weights drawn from torch's random state; the world model stays."""
        self.networks.actor.load_state_dict(make_actor(self.networks.world_model.config).state_dict())
        self.critic.load_state_dict(self._make_critic().state_dict())
        self.target_critic.load_state_dict(self.critic.state_dict())

    @override(InferenceOnlyAPI)
    def get_non_inference_attributes(self) -> list[str]:
        """What training needs and acting does not."""
        return ["critic", "target_critic"]

    @override(TorchRLModule)
    def train(self, mode: bool = True) -> Self:
        """As torch's, but where the mode is that already it is not set again, layer by layer: RLlib does so at every
        step."""
        return self if self.training is mode else super().train(mode)

    @override(RLModule)
    def get_initial_state(self) -> dict[str, np.ndarray]:
        """The state before an episode's first step, without a batch dimension."""
        num_agents = _shape(self.observation_space[columns.ALIVE])[0]
        state = self.networks.initial_state((), num_agents)
        return {name: part.numpy() for name, part in state._asdict().items()}

    def _make_critic(self) -> Critic:
        return Critic(
            self.networks.world_model.config.feature_size,
            self.model_config["hidden_size"],
            self.model_config["communication_heads"],
            self.model_config["communication"],
        )

    @override(TorchRLModule)
    def _forward_inference(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return self._act(batch, greedy=True)

    @override(TorchRLModule)
    def _forward_exploration(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return self._act(batch, greedy=False)

    @torch.no_grad()
    def _act(self, batch: dict[str, Any], greedy: bool) -> dict[str, Any]:
        observation = batch[Columns.OBS]
        state = TeamState(**batch[Columns.STATE_IN])
        actions = []
        for step in range(observation[columns.OBS].shape[1]):
            now = {key: value[:, step] for key, value in observation.items()}
            action, state = self.networks.act(now, state, greedy)
            actions.append(action)
        return {Columns.ACTIONS: torch.stack(actions, dim=1), Columns.STATE_OUT: state._asdict()}

    @override(TorchRLModule)
    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        raise NotImplementedError("MAMBALearner trains world model, actor and critic in phases of its own.")


def world_model_config(
    observation_space: gym.spaces.Dict, action_space: gym.spaces.MultiDiscrete, model_config: dict[str, Any]
) -> WorldModelConfig:
    """The world model's sizes for a team's spaces and the algorithm's options."""
    predict_action_mask = model_config["predict_action_mask"]
    if predict_action_mask is None:
        predict_action_mask = columns.ACTION_MASK in observation_space.spaces
    sizes: dict[str, Any] = {field.name: model_config.get(field.name) for field in fields(WorldModelConfig)} | {
        "observation_size": _shape(observation_space[columns.OBS])[1],
        "num_actions": int(action_space.nvec.max()),
        "predict_action_mask": predict_action_mask,
    }
    return WorldModelConfig(**sizes)


def _shape(space: gym.Space) -> tuple[int, ...]:
    assert space.shape is not None
    return space.shape
