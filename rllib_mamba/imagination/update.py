"""One update of actor and critic from imagined trajectories."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from rllib_mamba.imagination.actor_critic import Actor, Critic
from rllib_mamba.imagination.options import ImaginationOptions
from rllib_mamba.imagination.ppo import Experience, Reduce, Rows, policy_loss, prepare, value_loss
from rllib_mamba.imagination.rollout import Rollout

GradientHook = Callable[[nn.Module], Tensor]
"""Called with a module after the backward pass of its loss and before its optimizer's step: reduces its gradients over
the learners, clips them and returns their norm before clipping, a scalar."""


@dataclass(frozen=True)
class AgentProgress:
    """What is carried from one agent update to the next, and belongs in a checkpoint.

    Attributes:
        entropy_coefficient: present weight of the entropy bonus.
        minibatches: gradient steps taken so far.
    """

    entropy_coefficient: float
    minibatches: int = 0


@dataclass
class _MetricMeans:
    """Running sums of scalar tensors, so that nothing is read back before the end."""

    sums: dict[str, Tensor] = field(default_factory=dict)
    count: int = 0

    def add(self, metrics: dict[str, Tensor]) -> None:
        for name, value in metrics.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.count += 1

    def means(self) -> dict[str, Tensor]:
        return {name: total / self.count for name, total in self.sums.items()}


def agent_update(
    actor: Actor,
    critic: Critic,
    target_critic: Critic | None,
    rollout: Rollout,
    actor_optimizer: Optimizer,
    critic_optimizer: Optimizer,
    options: ImaginationOptions,
    progress: AgentProgress,
    gradient_hook: GradientHook,
    reduce: Reduce | None = None,
) -> tuple[AgentProgress, dict[str, Tensor]]:
    """Several passes of PPO over the rows of imagined trajectories, shuffled anew for each pass.

    In every minibatch: a step of the actor, decay of the entropy coefficient, a step of the critic, and where there is
    a target critic and its time has come, a copy of the critic into it.

    Args:
        actor, critic, target_critic: `target_critic` gives the values in the returns; None uses the critic itself.
        rollout: from `imagine`.
        actor_optimizer, critic_optimizer: over the parameters of actor and critic.
        options: see there.
        progress: of the update before.
        gradient_hook: see there; `clip_gradients` makes the simplest one.
        reduce: sums a tensor over the learners.

    Returns:
        Progress for the next update, and metrics: scalars without gradient, means over all minibatches.
    """
    experience = prepare(rollout, critic, target_critic, options, reduce)
    metrics = _MetricMeans()
    for rows in minibatches(experience, options):
        step_metrics = _actor_step(actor, rows, actor_optimizer, options, progress.entropy_coefficient, gradient_hook)
        progress = AgentProgress(progress.entropy_coefficient * options.entropy_decay, progress.minibatches + 1)
        step_metrics |= _critic_step(critic, rows, critic_optimizer, gradient_hook)
        if target_critic is not None and progress.minibatches % options.target_update == 0:
            target_critic.load_state_dict(critic.state_dict())
        metrics.add(step_metrics)
    return progress, metrics.means() | _experience_metrics(experience, rollout)


def minibatches(experience: Experience, options: ImaginationOptions) -> Iterable[Rows]:
    """Rows in random order, `options.epochs` times over; the last minibatch of a pass may be smaller."""
    for _ in range(options.epochs):
        order = torch.randperm(len(experience), device=experience.action.device)
        for index in order.split(options.minibatch_size):
            yield experience.rows(index)


def gradient_step(loss: Tensor, module: nn.Module, optimizer: Optimizer, gradient_hook: GradientHook) -> Tensor:
    """Descend the gradient of `loss` in the parameters of `module`; returns the norm that the hook gives."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = gradient_hook(module)
    optimizer.step()
    return norm


def clip_gradients(maximum_norm: float) -> GradientHook:
    """A hook that clips the global norm of a module's gradients to `maximum_norm`."""

    def clip(module: nn.Module) -> Tensor:
        return nn.utils.clip_grad_norm_(module.parameters(), maximum_norm).detach()

    return clip


def _actor_step(
    actor: Actor,
    rows: Rows,
    optimizer: Optimizer,
    options: ImaginationOptions,
    entropy_coefficient: float,
    gradient_hook: GradientHook,
) -> dict[str, Tensor]:
    result = policy_loss(
        actor(rows.features, rows.action_mask),
        rows.action,
        rows.log_probability,
        rows.advantage,
        options.clip,
        entropy_coefficient,
        rows.weight,
    )
    norm = gradient_step(result.loss, actor, optimizer, gradient_hook)
    return {
        "actor_loss": result.loss.detach(),
        "policy_entropy": result.entropy,
        "clipped_fraction": result.clipped_fraction,
        "policy_kl": result.kl,
        "actor_gradient_norm": norm,
    }


def _critic_step(critic: Critic, rows: Rows, optimizer: Optimizer, gradient_hook: GradientHook) -> dict[str, Tensor]:
    loss = value_loss(critic(rows.features, rows.hear), rows.returns, rows.weight)
    norm = gradient_step(loss, critic, optimizer, gradient_hook)
    return {"value_loss": loss.detach(), "critic_gradient_norm": norm}


def _experience_metrics(experience: Experience, rollout: Rollout) -> dict[str, Tensor]:
    return {
        "imagined_return": experience.returns.mean(),
        "imagined_reward": rollout.reward.mean(),
        "imagined_continuation": rollout.continuation.mean(),
    }
