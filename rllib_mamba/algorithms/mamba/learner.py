"""MAMBA's learner: a world-model phase, and an agent phase of imagination and PPO."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import numpy as np
import torch
from ray.rllib.core.learner.learner import Learner
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.utils.annotations import override
from torch import Tensor, nn

from rllib_mamba.algorithms.mamba.config import MAMBAConfig
from rllib_mamba.algorithms.mamba.rl_module import MAMBARLModule
from rllib_mamba.algorithms.team_learner import TeamLearner
from rllib_mamba.imagination import (
    AgentProgress,
    GradientHook,
    ImaginationOptions,
    agent_update,
    clip_gradients,
    gradient_step,
    imagine,
)
from rllib_mamba.world_model import (
    AlignedSequence,
    RandomSampler,
    RewardUnit,
    Sampler,
    SequenceOptions,
    align,
    infer_start_states,
    mean_square,
    world_model_losses,
)

WORLD_MODEL_PHASE = "world_model"
AGENT_PHASE = "agent"
OPTIMIZED_NETWORKS = ("world_model", "actor", "critic")


class MAMBALearner(TeamLearner):
    """Trains a team's world model, and its actor and critic in imagination.

    With several learners each takes an equal share of the sequences and the gradients are averaged before
    clipping, which is the update one learner would make on the joined batch.
    """

    #: How latents, actions and action masks are drawn; a subclass may take `ModeSampler` for exact comparisons.
    sampler: Sampler = RandomSampler()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._num_actor_minibatches: dict[str, int] = defaultdict(int)
        self._reward_units: dict[str, RewardUnit] = defaultdict(RewardUnit)
        self._phase = WORLD_MODEL_PHASE

    @override(TorchLearner)
    def configure_optimizers_for_module(self, module_id: str, config: MAMBAConfig | None = None) -> None:
        """Registers Adam optimizers, each with its learning-rate schedule, for world model, actor and critic."""
        module = self.module[module_id]
        if not isinstance(module, MAMBARLModule):
            return
        assert config is not None
        self._schedule_entropy(module_id, config.entropy_coeff)
        for name in OPTIMIZED_NETWORKS:
            parameters = list(_network(module, name).parameters())
            learning_rate = getattr(config, f"{name}_lr")
            optimizer = torch.optim.Adam(
                parameters,
                # RLlib sets the scheduled rate right after.
                lr=1e-3,
                weight_decay=config.actor_weight_decay if name == "actor" else 0.0,
                eps=1e-8,
                fused=True,
            )
            self.register_optimizer(
                module_id=module_id,
                optimizer_name=name,
                optimizer=optimizer,
                params=parameters,
                lr_or_lr_schedule=learning_rate,
            )

    @override(Learner)
    def update(self, *args: Any, phase: str = WORLD_MODEL_PHASE, **kwargs: Any) -> Any:
        """One update of the given phase on a batch of replayed sequences.

        Args:
            phase: `WORLD_MODEL_PHASE` or `AGENT_PHASE`.
            args: As RLlib's.
            kwargs: As RLlib's.

        Returns:
            RLlib's learner results.
        """
        self._phase = phase
        return super().update(*args, **kwargs)

    def reset_agents(self) -> None:
        """Actors and critics of all teams begin anew, their optimizers too; the world models stay.

        All learners draw the same weights.
        """
        seed = np.random.SeedSequence([self._seed, self._num_updates]).generate_state(1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(seed[0]))
            for module_id, wrapped in self.module.items():
                module = wrapped.unwrapped()
                if isinstance(module, MAMBARLModule):
                    module.reset_agent()
                    for name in ("actor", "critic"):
                        self.get_optimizer(module_id, name).state.clear()

    @override(TorchLearner)
    def _update(self, batch: dict[str, Any], **kwargs: Any) -> tuple[Any, Any, Any]:
        losses = {}
        for module_id, module_batch in batch.items():
            module = self.module[module_id].unwrapped()
            config = self.config.get_config_for_module(module_id)
            sequence = align(module_batch, sequence_options(config))
            if self._phase == WORLD_MODEL_PHASE:
                losses[module_id] = self._update_world_model(module_id, module, config, sequence)
            else:
                with self._precision(config):
                    self._update_agent(module_id, module, config, sequence)
        return {}, losses, {}

    def _update_world_model(
        self, module_id: str, module: MAMBARLModule, config: MAMBAConfig, sequence: AlignedSequence
    ) -> Tensor:
        world_model = module.networks.world_model.train()
        if world_model.normalizer is not None:
            world_model.normalizer.update(sequence.observation, sequence.alive, self._sum_over_learners)
        unit = self._reward_unit(module_id, sequence.reward) if config.normalize_reward_loss else None
        with self._precision(config):
            outputs = world_model_losses(world_model, sequence, self.sampler, config.kl_balance, unit)
        total = outputs.weighted_total(config.loss_scales)
        norm = gradient_step(
            total,
            world_model,
            self.get_optimizer(module_id, "world_model"),
            self._before_step({world_model: config.world_model_grad_clip_by_global_norm}),
        )
        losses = {f"{name}_loss": loss.detach() for name, loss in outputs.losses.items()}
        self._log(module_id, losses | outputs.metrics | {"world_model_gradient_norm": norm})
        return total.detach()

    def _reward_unit(self, module_id: str, reward: Tensor) -> Tensor:
        """The unit of the reward loss, over all learners' batches so far, these rewards included."""
        batch_mean = self._sum_over_learners(mean_square(reward)) / max(1, self.config.num_learners)
        self._reward_units[module_id] = self._reward_units[module_id].after(batch_mean)
        return self._reward_units[module_id].value

    def _update_agent(
        self, module_id: str, module: MAMBARLModule, config: MAMBAConfig, sequence: AlignedSequence
    ) -> None:
        world_model, actor = module.networks.world_model.eval(), module.networks.actor
        start = infer_start_states(world_model, sequence, self.sampler)
        rollout = imagine(world_model, actor, start, config.horizon, self.sampler)
        minibatches = self._num_actor_minibatches[module_id]
        scheduled = self._entropy_coefficient(module_id)
        progress, metrics = agent_update(
            actor,
            module.critic,
            module.target_critic if config.use_target_critic else None,
            rollout,
            self.get_optimizer(module_id, "actor"),
            self.get_optimizer(module_id, "critic"),
            self._imagination_options(config),
            AgentProgress(scheduled * config.entropy_decay**minibatches, minibatches),
            self._before_step(
                {
                    actor: config.actor_grad_clip_by_global_norm,
                    module.critic: config.critic_grad_clip_by_global_norm,
                }
            ),
            self._sum_over_learners if self.distributed else None,
        )
        self._num_actor_minibatches[module_id] = progress.minibatches
        self._log(module_id, metrics | {"entropy_coefficient": progress.entropy_coefficient})

    def _precision(self, config: MAMBAConfig) -> torch.autocast:
        # Weights are cast anew by every layer, which adds up their gradients in float32.
        return torch.autocast(
            getattr(self._device, "type", "cpu"), torch.bfloat16, enabled=config.mixed_precision, cache_enabled=False
        )

    def _imagination_options(self, config: MAMBAConfig) -> ImaginationOptions:
        return ImaginationOptions(
            horizon=config.horizon,
            gamma=config.gamma,
            trace_decay=config.gae_lambda,
            epochs=config.num_epochs,
            # Every learner takes its share of each minibatch, so that all make equally many steps.
            minibatch_size=-(-config.minibatch_size // max(1, self.config.num_learners)),
            clip=config.clip_param,
            entropy_decay=config.entropy_decay,
            shared_reward=config.shared_reward,
            normalise_advantages=config.normalize_advantages,
            weigh_by_continuation=config.weigh_by_continuation,
            target_update=config.target_update_interval,
        )

    def _before_step(self, maximum_norms: dict[nn.Module, float | None]) -> GradientHook:
        """What happens between backward pass and optimizer step: average over the learners, then clip."""

        def hook(network: nn.Module) -> Tensor:
            self._average_gradients(network)
            maximum_norm = maximum_norms[network]
            return clip_gradients(math.inf if maximum_norm is None else maximum_norm)(network)

        return hook

    @override(Learner)
    def get_state(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The learner's state, the counter that entropy annealing depends on, and the units of rewards."""
        return super().get_state(*args, **kwargs) | {
            "num_actor_minibatches": dict(self._num_actor_minibatches),
            "reward_units": {
                module_id: (float(unit.mean_square), unit.weight) for module_id, unit in self._reward_units.items()
            },
        }

    @override(Learner)
    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what `get_state` gave."""
        super().set_state(state)
        self._num_actor_minibatches.update(state.get("num_actor_minibatches", {}))
        for module_id, unit in state.get("reward_units", {}).items():
            self._reward_units[module_id] = RewardUnit(*unit)


def sequence_options(config: MAMBAConfig) -> SequenceOptions:
    """How the configuration wants replayed sequences read."""
    return SequenceOptions(
        truncation_is_terminal=config.truncation_is_terminal,
        reset_previous_action=config.reset_previous_action,
        mask_dead_agents=config.mask_dead_agents,
        mask_communication=config.mask_communication,
    )


def _network(module: MAMBARLModule, name: str) -> nn.Module:
    return module.critic if name == "critic" else getattr(module.networks, name)
