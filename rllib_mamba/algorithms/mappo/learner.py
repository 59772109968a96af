"""MAPPO's learner: PPO on every agent of a team, with a critic that sees more than the agents."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from ray.rllib.connectors.learner import AddOneTsToEpisodesAndTruncate
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.utils.annotations import override
from torch import Tensor, nn

from rllib_mamba.algorithms.mappo.config import MAPPOConfig
from rllib_mamba.algorithms.mappo.critic import Critic
from rllib_mamba.algorithms.mappo.experience import Experience, ReturnOptions, Sequences, make_experience
from rllib_mamba.algorithms.mappo.losses import explained_variance, value_errors
from rllib_mamba.algorithms.mappo.rl_module import ACTOR, CRITIC, MAPPORLModule
from rllib_mamba.algorithms.team_learner import TeamLearner
from rllib_mamba.imagination import GradientHook, gradient_step, policy_loss
from rllib_mamba.imagination.ppo import normalise, weighted_mean

ADAM_EPSILON = 1e-5
"""Source: the publication's appendix C."""


class MAPPOLearner(TeamLearner):
    """Trains the actor and the critic of a team on the episodes of one iteration.

    RLlib's learner connectors make the batch, with the observation that follows the last step of every part of an
    episode. With several learners each takes its share of the episodes; statistics and averages are over all of them.
    """

    @override(TorchLearner)
    def build(self) -> None:
        """Builds modules, optimizers and the learner connectors."""
        super().build()
        if self._learner_connector is not None and self.config.add_default_connectors_to_learner_pipeline:
            self._learner_connector.prepend(AddOneTsToEpisodesAndTruncate())

    @override(TorchLearner)
    def configure_optimizers_for_module(self, module_id: str, config: MAPPOConfig | None = None) -> None:
        """Registers Adam optimizers, each with its learning-rate schedule, for actor and critic."""
        module = self.module[module_id]
        if not isinstance(module, MAPPORLModule):
            return
        assert config is not None
        self._schedule_entropy(module_id, config.entropy_coeff)
        for name, network in ((ACTOR, module.networks), (CRITIC, module.critic)):
            parameters = list(network.parameters())
            self.register_optimizer(
                module_id=module_id,
                optimizer_name=name,
                # RLlib sets the scheduled rate right after.
                optimizer=torch.optim.Adam(parameters, lr=1e-3, eps=ADAM_EPSILON, fused=True),
                params=parameters,
                lr_or_lr_schedule=getattr(config, f"{name}_lr"),
            )

    @override(TorchLearner)
    def _update(self, batch: dict[str, Any], **kwargs: Any) -> tuple[Any, Any, Any]:
        losses = {}
        for module_id, module_batch in batch.items():
            module = self.module[module_id].unwrapped()
            # Heuristic opponents are in the batch, too.
            if isinstance(module, MAPPORLModule):
                config = self.config.get_config_for_module(module_id)
                losses[module_id] = self._update_team(module_id, module, config, module_batch)
        return {}, losses, {}

    def _update_team(self, module_id: str, module: MAPPORLModule, config: MAPPOConfig, batch: dict[str, Any]) -> Tensor:
        """All passes of PPO over a batch; the loss of the last step."""
        critic = module.critic
        experience = make_experience(
            Sequences.from_batch(batch, module),
            module,
            ReturnOptions(config.gamma, config.gae_lambda, config.shared_reward, config.death_masking),
        )
        entropy_coefficient = self._entropy_coefficient(module_id)
        self._log(module_id, {"entropy_coefficient": entropy_coefficient, **_metrics(experience)})
        if critic.normalizer is not None:
            critic.normalizer.update(
                experience.target.flatten(0, 1), experience.value_mask.flatten(0, 1), self._sum_over_learners
            )
        experience = self._normalized(experience, critic, config)
        loss = torch.zeros(())
        for minibatch in self._minibatches(experience, config):
            loss = self._actor_step(module_id, module, config, minibatch, entropy_coefficient)
            loss = loss + self._critic_step(module_id, module, config, minibatch)
        return loss

    @torch.no_grad()
    def _normalized(self, experience: Experience, critic: Critic, config: MAPPOConfig) -> Experience:
        """The same with values and targets in the units the critic now learns in, and with normalised advantages."""
        advantage, sequences = experience.advantage, experience.sequences
        if config.normalize_advantages:
            advantage = normalise(advantage, experience.policy_mask.float(), self._sum_over_learners)
        return experience._replace(
            advantage=advantage,
            target=critic.normalize(experience.target),
            # The statistics, and with PopArt the outputs, are others than when the advantages were estimated.
            value=critic(sequences.observation, sequences.critic_state)[0],
        )

    def _minibatches(self, experience: Experience, config: MAPPOConfig) -> Iterator[Experience]:
        """Sequences in random order, in as many parts in every learner."""
        for _ in range(config.num_epochs):
            order = torch.randperm(len(experience.advantage), device=experience.advantage.device)
            for index in order.tensor_split(config.num_minibatches):
                yield experience.select(index)

    def _actor_step(
        self,
        module_id: str,
        module: MAPPORLModule,
        config: MAPPOConfig,
        minibatch: Experience,
        entropy_coefficient: float,
    ) -> Tensor:
        sequences, actor = minibatch.sequences, module.networks
        logits, _ = actor(sequences.observation["obs"], sequences.observation.get("action_mask"), sequences.actor_state)
        result = policy_loss(
            logits,
            sequences.action,
            sequences.log_probability,
            minibatch.advantage,
            config.clip_param,
            entropy_coefficient,
            self._weight(minibatch.policy_mask),
        )
        norm = gradient_step(
            result.loss,
            actor,
            self.get_optimizer(module_id, ACTOR),
            self._before_step(config.actor_grad_clip_by_global_norm),
        )
        loss = result.loss.detach()
        self._log(
            module_id,
            {
                "actor_loss": loss,
                "policy_entropy": result.entropy,
                "clipped_fraction": result.clipped_fraction,
                "policy_kl": result.kl,
                "actor_gradient_norm": norm,
            },
        )
        return loss

    def _critic_step(self, module_id: str, module: MAPPORLModule, config: MAPPOConfig, minibatch: Experience) -> Tensor:
        sequences, critic = minibatch.sequences, module.critic
        value, _ = critic(sequences.observation, sequences.critic_state)
        errors = value_errors(value, minibatch.value, minibatch.target, config.value_clip_param, config.huber_delta)
        loss = weighted_mean(errors, self._weight(minibatch.value_mask))
        norm = gradient_step(
            loss,
            critic,
            self.get_optimizer(module_id, CRITIC),
            self._before_step(config.critic_grad_clip_by_global_norm),
        )
        loss = loss.detach()
        self._log(module_id, {"value_loss": loss, "critic_gradient_norm": norm})
        return loss

    def _weight(self, mask: Tensor) -> Tensor:
        """Weights under which means over all entries, averaged over the learners, are means over the mask alone."""
        total = self._sum_over_learners(mask.sum().float())
        return mask * (mask.numel() * max(1, self.config.num_learners) / total.clamp(min=1))

    def _before_step(self, maximum_norm: float | None) -> GradientHook:
        """What happens between backward pass and optimizer step: average over the learners, then clip."""

        def hook(network: nn.Module) -> Tensor:
            self._average_gradients(network)
            bound = math.inf if maximum_norm is None else maximum_norm
            return nn.utils.clip_grad_norm_(network.parameters(), bound).detach()

        return hook


def _metrics(experience: Experience) -> dict[str, Tensor]:
    target, mask = experience.target, experience.value_mask
    return {
        "return_mean": target[mask].mean(),
        "explained_variance": explained_variance(experience.value, target, mask),
    }
