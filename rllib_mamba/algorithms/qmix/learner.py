"""The RLlib learner of QMIX: one gradient step on the temporal-difference errors of whole episodes."""

from __future__ import annotations

import math
from typing import Any

import torch
from ray.rllib.core.learner.learner import Learner
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.core.learner.utils import update_target_network
from ray.rllib.utils.annotations import override
from torch import Tensor, nn

from rllib_mamba.algorithms.qmix.acting import best_actions
from rllib_mamba.algorithms.qmix.config import QMIXConfig
from rllib_mamba.algorithms.qmix.rl_module import ACTION_VALUES, BEST_ACTIONS, VALUE, QMIXRLModule
from rllib_mamba.algorithms.qmix.targets import taken_steps, team_reward, value_targets
from rllib_mamba.algorithms.team_learner import TeamLearner
from rllib_mamba.imagination import gradient_step
from rllib_mamba.replay import layout
from rllib_mamba.replay.team_episode_replay_buffer import FILLED


class QMIXLearner(TeamLearner):
    """Trains a team's agent network and mixer together.

    With several learners each takes an equal share of the episodes. Errors are averaged over the steps of all of them,
    and gradients before clipping, which is the update one learner would make on the joined batch.
    """

    @override(TorchLearner)
    def build(self) -> None:
        """Builds modules and optimizers, then the target networks."""
        super().build()
        for module in self.module.values():
            if isinstance(module, QMIXRLModule):
                module.make_target_networks()

    @override(TorchLearner)
    def configure_optimizers_for_module(self, module_id: str, config: QMIXConfig | None = None) -> None:
        """Registers one optimizer, with its learning-rate schedule, for agent network and mixer."""
        module = self.module[module_id]
        if not isinstance(module, QMIXRLModule):
            return
        assert config is not None
        parameters = list(module.trained_networks.parameters())
        # RLlib sets the scheduled rate right after.
        optimizer: torch.optim.Optimizer
        if config.optimizer_type == "adam":
            optimizer = torch.optim.Adam(parameters, lr=1e-3, fused=True)
        else:
            # Smoothing and epsilon of the publication's code.
            optimizer = torch.optim.RMSprop(parameters, lr=1e-3, alpha=0.99, eps=1e-5)
        self.register_optimizer(
            module_id=module_id, optimizer=optimizer, params=parameters, lr_or_lr_schedule=config.lr
        )

    @override(TorchLearner)
    def _update(self, batch: dict[str, Any], **kwargs: Any) -> tuple[Any, Any, Any]:
        losses = {}
        for module_id, episodes in batch.items():
            module = self.module[module_id].unwrapped()
            config = self.config.get_config_for_module(module_id)
            losses[module_id] = self._update_team(module_id, module, config, episodes)
        return {}, losses, {}

    def _update_team(
        self, module_id: str, module: QMIXRLModule, config: QMIXConfig, episodes: dict[str, Tensor]
    ) -> Tensor:
        outputs = module.forward_train(episodes)
        filled = episodes[FILLED][:, :-1]
        value = outputs[VALUE][:, :-1]
        taken = taken_steps(filled, value)
        value, target = value[taken], self._targets(module, config, episodes, outputs[ACTION_VALUES])[taken]
        error = value - target
        # Averaging gradients over the learners divides by their number once more.
        share = self._sum_over_learners(taken.sum().to(error.dtype)) / max(1, self.config.num_learners)
        loss = error.square().sum() / share
        norm = gradient_step(
            loss,
            module.trained_networks,
            self.get_optimizer(module_id),
            lambda networks: self._average_and_clip(networks, config),
        )
        metrics = {
            "td_loss": loss,
            "td_error_abs_mean": error.abs().mean(),
            "q_taken_mean": value.mean(),
            "target_mean": target.mean(),
            "gradient_norm": norm,
        }
        self._log(module_id, {name: metric.detach() for name, metric in metrics.items()})
        return loss.detach()

    @torch.no_grad()
    def _targets(
        self, module: QMIXRLModule, config: QMIXConfig, episodes: dict[str, Tensor], action_values: Tensor
    ) -> Tensor:
        chosen = {}
        if config.double_q:
            chosen[BEST_ACTIONS] = best_actions(action_values, module.legal_actions(episodes))
        return value_targets(
            team_reward(episodes[layout.REWARD][:, :-1], config.team_reward),
            episodes[layout.TERMINATED][:, :-1].all(dim=-1),
            episodes[FILLED][:, :-1],
            module.forward_target({**episodes, **chosen})[VALUE],
            config.gamma,
            config.td_lambda,
        )

    def _average_and_clip(self, networks: nn.Module, config: QMIXConfig) -> Tensor:
        self._average_gradients(networks)
        return nn.utils.clip_grad_norm_(networks.parameters(), config.grad_clip or math.inf).detach()

    @override(Learner)
    def after_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        """Moves the target networks when it is their time."""
        super().after_gradient_based_update(timesteps=timesteps)
        for module_id, module in self.module.items():
            config = self.config.get_config_for_module(module_id)
            if isinstance(module, QMIXRLModule) and self._num_updates % config.target_update_interval == 0:
                for main, target in module.get_target_network_pairs():
                    update_target_network(main_net=main, target_net=target, tau=config.tau)
