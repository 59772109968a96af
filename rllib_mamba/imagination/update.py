"""One update of actor and critic from imagined trajectories."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from rllib_mamba.imagination.actor_critic import Actor, Critic
from rllib_mamba.imagination.options import ImaginationOptions
from rllib_mamba.imagination.parts import parts_of
from rllib_mamba.imagination.ppo import Experience, Rows, policy_loss, prepare, value_loss
from rllib_mamba.imagination.rollout import Rollout
from rllib_mamba.moments import Reduce
from rllib_mamba.world_model.linear import constant_weights

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
    for parts in minibatches(experience, options):
        step_metrics = _actor_step(actor, parts, actor_optimizer, options, progress.entropy_coefficient, gradient_hook)
        progress = AgentProgress(progress.entropy_coefficient * options.entropy_decay, progress.minibatches + 1)
        step_metrics |= _critic_step(critic, parts, critic_optimizer, gradient_hook)
        if target_critic is not None and progress.minibatches % options.target_update == 0:
            target_critic.load_state_dict(critic.state_dict())
        metrics.add(step_metrics)
    return progress, metrics.means() | _experience_metrics(experience, rollout)


def minibatches(experience: Experience, options: ImaginationOptions) -> Iterable[list[Rows]]:
    """Rows in random order, `options.epochs` times over, each minibatch in the parts that gradients are added up from.

    The last minibatch of a pass may be smaller.
    """
    num_agents = experience.action.shape[1]
    for _ in range(options.epochs):
        order = torch.randperm(len(experience), device=experience.action.device)
        for index in order.split(options.minibatch_size):
            yield [experience.rows(index[part]) for part in parts_of(len(index), num_agents, index.device)]


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
    parts: list[Rows],
    optimizer: Optimizer,
    options: ImaginationOptions,
    entropy_coefficient: float,
    gradient_hook: GradientHook,
) -> dict[str, Tensor]:
    def loss(rows: Rows) -> tuple[Tensor, dict[str, Tensor]]:
        result = policy_loss(
            actor(rows.features, rows.action_mask),
            rows.action,
            rows.log_probability,
            rows.advantage,
            options.clip,
            entropy_coefficient,
            rows.weight,
        )
        return result.loss, {
            "actor_loss": result.loss.detach(),
            "policy_entropy": result.entropy,
            "clipped_fraction": result.clipped_fraction,
            "policy_kl": result.kl,
        }

    metrics, norm = _step_by_parts(loss, parts, actor, optimizer, gradient_hook)
    return metrics | {"actor_gradient_norm": norm}


def _critic_step(
    critic: Critic, parts: list[Rows], optimizer: Optimizer, gradient_hook: GradientHook
) -> dict[str, Tensor]:
    def loss(rows: Rows) -> tuple[Tensor, dict[str, Tensor]]:
        result = value_loss(critic(rows.features, rows.hear), rows.returns, rows.weight)
        return result, {"value_loss": result.detach()}

    metrics, norm = _step_by_parts(loss, parts, critic, optimizer, gradient_hook)
    return metrics | {"critic_gradient_norm": norm}


def _step_by_parts(
    loss: Callable[[Rows], tuple[Tensor, dict[str, Tensor]]],
    parts: list[Rows],
    module: nn.Module,
    optimizer: Optimizer,
    gradient_hook: GradientHook,
) -> tuple[dict[str, Tensor], Tensor]:
    """`gradient_step` of the mean loss of all rows: its metrics, means too, and the norm."""
    optimizer.zero_grad(set_to_none=True)
    num_rows = sum(len(rows.action) for rows in parts)
    metrics: dict[str, Tensor] = {}
    with constant_weights(module):
        for rows in parts:
            share = len(rows.action) / num_rows
            mean, part_metrics = loss(rows)
            (mean * share).backward()
            metrics = {name: metrics.get(name, 0) + value * share for name, value in part_metrics.items()}
    norm = gradient_hook(module)
    optimizer.step()
    return metrics, norm


def _experience_metrics(experience: Experience, rollout: Rollout) -> dict[str, Tensor]:
    return {
        "imagined_return": experience.returns.mean(),
        "imagined_reward": rollout.reward.mean(),
        "imagined_continuation": rollout.continuation.mean(),
    }
