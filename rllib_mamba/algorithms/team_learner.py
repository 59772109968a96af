"""What the learners of all teams share: randomness that can be repeated, several learners, checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from ray.rllib.core.learner.learner import Learner
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.utils.annotations import override
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME
from ray.rllib.utils.schedules.scheduler import Scheduler
from torch import Tensor, nn

from rllib_mamba.algorithms.team_config import Schedule

#: What an optimizer's groups of parameters take from a checkpoint; learning rates are set before the next update.
_RESTORED = ("params", "lr")


class TeamLearner(TorchLearner):
    """A learner that makes its own gradient steps in `_update`, on networks inside of a team's module.

    Every update seeds torch's generator from (seed, learner, number of the update): its randomness
    depends neither on what acts in the same process nor on how often the run was restored. With several
    learners the gradients are averaged before clipping; all begin with the first one's weights.

    Learning rates, entropy coefficients and the other options of optimizers are those of the configuration, also after
    going on from a checkpoint that was made with others.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._seed = int(np.random.SeedSequence(self.config.seed).generate_state(1)[0])
        self._num_updates = 0
        self._entropy_schedules: dict[str, Scheduler] = {}

    @override(TorchLearner)
    def _make_modules_ddp_if_necessary(self) -> None:
        # Steps are made on submodules, which would go around DDP's forward hooks: gradients are averaged in
        # `_average_gradients` instead.
        if self.distributed:
            # One seed for all, as in a checkpoint: each learner adds its index.
            seed = torch.tensor([self._seed], device=self._device)
            torch.distributed.broadcast(seed, src=0)
            self._seed = int(seed)
            for module in self.module.values():
                if isinstance(module, nn.Module):
                    for tensor in module.state_dict().values():
                        torch.distributed.broadcast(tensor, src=0)

    @override(Learner)
    def update(self, *args: Any, **kwargs: Any) -> Any:
        """RLlib's update, with randomness of its own."""
        self._num_updates += 1
        seed = np.random.SeedSequence([self._seed, self._learner_index, self._num_updates]).generate_state(1, np.uint64)
        devices = [self._device] if getattr(self._device, "type", "cpu") == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(int(seed[0]) >> 1)
            return super().update(*args, **kwargs)

    @override(Learner)
    def before_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        """Moves learning rates and entropy schedules on with the env steps, and logs the numbers of parameters.

        RLlib logs them once, which leaves NaN for every later iteration.
        """
        super().before_gradient_based_update(timesteps=timesteps)
        self._log_trainable_parameters()
        env_steps = timesteps.get(NUM_ENV_STEPS_SAMPLED_LIFETIME, 0)
        for schedule in self._entropy_schedules.values():
            schedule.update(timestep=env_steps)
        # RLlib sets them after an update only: the first one after a restoration would be made with the old rates.
        for optimizer, schedule in self._optimizer_lr_schedules.items():
            self._set_optimizer_lr(optimizer, lr=schedule.update(timestep=env_steps))

    def _schedule_entropy(self, module_id: str, coefficient: Schedule) -> None:
        """Makes a module's entropy coefficient follow the env steps."""
        self._entropy_schedules[module_id] = Scheduler(
            fixed_value_or_schedule=coefficient, framework=self.framework, device=self._device
        )

    def _entropy_coefficient(self, module_id: str) -> float:
        """What the schedule of a module says now."""
        return float(self._entropy_schedules[module_id].get_current_value())

    def _average_gradients(self, network: nn.Module) -> None:
        """Replaces every gradient by its mean over the learners, in one exchange."""
        if not self.distributed:
            return
        gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        joined = torch.cat([gradient.flatten() for gradient in gradients])
        torch.distributed.all_reduce(joined)
        joined /= self.config.num_learners
        for gradient, averaged in zip(gradients, joined.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(averaged.view_as(gradient))

    def _sum_over_learners(self, tensor: Tensor) -> Tensor:
        """The sum of the learners' tensors, which must have one shape."""
        if self.distributed:
            torch.distributed.all_reduce(tensor)
        return tensor

    def _log(self, module_id: str, metrics: Mapping[str, Tensor | float]) -> None:
        """Logs scalars; RLlib reports their mean over an iteration's updates."""
        self.metrics.log_dict(metrics, key=module_id, reduce="mean")

    @override(TorchLearner)
    def compute_loss_for_module(self, **kwargs: Any) -> Tensor:
        """Not used: `_update` makes the gradient steps."""
        raise NotImplementedError(f"{type(self).__name__} makes its gradient steps in `_update`.")

    @override(TorchLearner)
    def _set_optimizer_state(self, state: dict[str, Any]) -> None:
        """Takes over moments and counters; weight decay and the like stay those of the configuration."""
        own = {
            name: [{option: value for option, value in group.items() if option not in _RESTORED} for group in groups]
            for name, groups in ((name, optimizer.param_groups) for name, optimizer in self._named_optimizers.items())
        }
        super()._set_optimizer_state(state)
        for name, groups in own.items():
            for group, options in zip(self._named_optimizers[name].param_groups, groups, strict=True):
                group.update(options)

    @override(Learner)
    def get_state(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """RLlib's learner state and what randomness depends on."""
        return super().get_state(*args, **kwargs) | {"seed": self._seed, "num_updates": self._num_updates}

    @override(Learner)
    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what `get_state` gave, also where it had fewer updates, which RLlib takes for outdated."""
        self._weights_seq_no = 0
        super().set_state(state)
        self._seed = state.get("seed", self._seed)
        self._num_updates = state.get("num_updates", self._num_updates)
