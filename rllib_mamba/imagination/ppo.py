"""Proximal policy optimisation (Schulman et al., 2017) on imagined trajectories."""

from typing import NamedTuple

import torch
from torch import Tensor

from rllib_mamba.imagination.actor_critic import Critic
from rllib_mamba.imagination.options import ImaginationOptions
from rllib_mamba.imagination.parts import parts_of
from rllib_mamba.imagination.returns import lambda_returns
from rllib_mamba.imagination.rollout import Rollout
from rllib_mamba.moments import Reduce
from rllib_mamba.world_model.features import Features
from rllib_mamba.world_model.linear import constant_weights
from rllib_mamba.world_model.sequence import hearing

ADVANTAGE_EPSILON = 1e-4


class Experience(NamedTuple):
    """R = (L - 1) * M rows to learn from, time first, without gradient.

    Attributes:
        features: (R, N, F), as the rollout has them.
        action: (R, N) int64.
        action_mask: (R, N, A) bool, or None.
        log_probability: (R, N), of the action under the policy that took it.
        returns, advantage: (R, N).
        dead: (M, N) bool, or None; row r belongs to start state r % M.
        weight: (R, N), how much an agent's row counts, or None: all the same.
    """

    features: Features
    action: Tensor
    action_mask: Tensor | None
    log_probability: Tensor
    returns: Tensor
    advantage: Tensor
    dead: Tensor | None
    weight: Tensor | None

    def __len__(self) -> int:
        """Number of rows R."""
        return len(self.action)

    def rows(self, index: Tensor) -> "Rows":
        """The rows of the given indices (R',) int64."""
        hear = None if self.dead is None else hearing(None, self.dead[index % len(self.dead)])

        def chosen(values: Tensor) -> Tensor:
            return values.index_select(0, index)

        return Rows(
            self.features[index],
            chosen(self.action),
            None if self.action_mask is None else chosen(self.action_mask),
            chosen(self.log_probability),
            chosen(self.returns),
            chosen(self.advantage),
            None if self.weight is None else chosen(self.weight),
            hear,
        )


class Rows(NamedTuple):
    """Some rows of an `Experience`, with the weight (R', N) of every agent and who attends to whom (R', N, N)."""

    features: Features
    action: Tensor
    action_mask: Tensor | None
    log_probability: Tensor
    returns: Tensor
    advantage: Tensor
    weight: Tensor | None
    hear: Tensor | None


class PolicyLoss(NamedTuple):
    """The actor's loss and, without gradient, what it is made of; all scalars.

    Attributes:
        loss: to be minimised.
        surrogate: mean clipped objective, negated.
        entropy: mean entropy of the policy, nats.
        clipped_fraction: share of probability ratios outside the clip range.
        kl: estimate of KL(old || new), nats.
    """

    loss: Tensor
    surrogate: Tensor
    entropy: Tensor
    clipped_fraction: Tensor
    kl: Tensor


@torch.no_grad()
def prepare(
    rollout: Rollout,
    critic: Critic,
    target_critic: Critic | None,
    options: ImaginationOptions,
    reduce: Reduce | None = None,
) -> Experience:
    """Returns and advantages of imagined trajectories.

    The reward is averaged over the team unless `options.shared_reward` is off. Values in the returns come
    from `target_critic` if there is one, the baseline from `critic`.
    """
    hear = None if rollout.dead is None else hearing(None, rollout.dead)
    alive = None if rollout.dead is None else (~rollout.dead).to(rollout.reward.dtype)
    weight = row_weights(rollout.continuation, alive) if options.weigh_by_continuation else alive
    value = _values(critic, rollout.features, hear)
    target_value = value if target_critic is None else _values(target_critic, rollout.features, hear)
    reward = team_reward(rollout.reward, alive) if options.shared_reward else rollout.reward
    returns = lambda_returns(reward, options.gamma * rollout.continuation, target_value, options.trace_decay)
    advantage = returns - value[:-1]
    if options.normalise_advantages:
        advantage = normalise(advantage, weight, reduce)
    return Experience(
        features=rollout.features[:-1].flatten(0, 1),
        action=rollout.action.flatten(0, 1),
        action_mask=None if rollout.action_mask is None else rollout.action_mask.flatten(0, 1),
        log_probability=action_log_probability(rollout.policy_logits, rollout.action).flatten(0, 1),
        returns=returns.flatten(0, 1),
        advantage=advantage.flatten(0, 1),
        dead=rollout.dead,
        weight=None if weight is None else weight.expand_as(advantage).flatten(0, 1),
    )


def row_weights(continuation: Tensor, alive: Tensor | None = None) -> Tensor:
    """Probability (L - 1, M, N) that an agent is still there at an imagined step.

    Args:
        continuation: (L - 1, M, N), probability that the agent goes on after the step.
        alive: (M, N), zero for agents that had ended when imagination began; None: all are there.

    Source: the discount weights of DreamerV2 (Hafner et al., 2021), without the discount of time.
    """
    first = torch.ones_like(continuation[:1]) if alive is None else alive.expand_as(continuation[:1])
    return torch.cat([first, first * continuation[:-1].cumprod(0)])


def team_reward(reward: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean over the team, (..., 1), of the agents' rewards (..., N); of agents with `weight` (..., N) 1 if given."""
    if weight is None:
        return reward.mean(-1, keepdim=True)
    return (reward * weight).sum(-1, keepdim=True) / weight.sum(-1, keepdim=True).clamp(min=1)


def normalise(advantage: Tensor, weight: Tensor | None = None, reduce: Reduce | None = None) -> Tensor:
    """Advantages (..., N) minus their mean, over their standard deviation (n - 1) plus 1e-4.

    Args:
        advantage: (..., N).
        weight: (..., N) of zeros and ones, broadcast: entries with 0 do not count; None counts all.
        reduce: sums a tensor over the learners, so that each normalises by the statistics of all.
    """
    values = advantage.double()
    weights = torch.ones_like(values) if weight is None else weight.double().expand_as(values)
    sums = torch.stack([weights.sum(), (weights * values).sum(), (weights * values.square()).sum()])
    count, total, squares = (sums if reduce is None else reduce(sums)).unbind()
    mean = total / count.clamp(min=1)
    variance = (squares - count * mean.square()) / (count - 1).clamp(min=1)
    deviation = variance.clamp(min=0).sqrt()
    return ((values - mean) / (deviation + ADVANTAGE_EPSILON)).to(advantage.dtype)


def policy_loss(
    logits: Tensor,
    action: Tensor,
    old_log_probability: Tensor,
    advantage: Tensor,
    clip: float,
    entropy_coefficient: float,
    weight: Tensor | None = None,
) -> PolicyLoss:
    """Clipped surrogate objective with an entropy bonus.

    Args:
        logits: (..., N, A), masked, of the policy that learns.
        action: (..., N) int64.
        old_log_probability: (..., N), of the action under the policy that took it.
        advantage: (..., N).
        clip: the ratio is clipped to [1 - clip, 1 + clip].
        entropy_coefficient: weight of the entropy bonus.
        weight: (..., N) on each agent's loss; means are over all entries, whatever their weight.
    """
    log_probabilities = torch.log_softmax(logits, -1)
    log_ratio = log_probabilities.gather(-1, action.unsqueeze(-1)).squeeze(-1) - old_log_probability
    ratio = log_ratio.exp()
    surrogate = weighted_mean(clipped_surrogate(ratio, advantage, clip), weight)
    mean_entropy = weighted_mean(entropy(log_probabilities), weight)
    with torch.no_grad():
        clipped_fraction = weighted_mean(((ratio - 1).abs() > clip).to(ratio.dtype), weight)
        kl = weighted_mean(ratio - 1 - log_ratio, weight)
    loss = surrogate - entropy_coefficient * mean_entropy
    return PolicyLoss(loss, surrogate.detach(), mean_entropy.detach(), clipped_fraction, kl)


def value_loss(value: Tensor, returns: Tensor, weight: Tensor | None = None) -> Tensor:
    """Half the squared error of values (..., N) against returns (..., N), averaged over all entries."""
    return weighted_mean(0.5 * (returns - value).square(), weight)


def clipped_surrogate(ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """-min(r * A, clip(r) * A) elementwise (Schulman et al., 2017, equation 7)."""
    return -torch.min(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


def entropy(log_probabilities: Tensor) -> Tensor:
    """Entropy (...) in nats of categoricals given by log-probabilities (..., A)."""
    return -(log_probabilities.exp() * log_probabilities).sum(-1)


def action_log_probability(logits: Tensor, action: Tensor) -> Tensor:
    """Log-probability (...) of actions (...) int64 under logits (..., A)."""
    return torch.log_softmax(logits, -1).gather(-1, action.unsqueeze(-1)).squeeze(-1)


def weighted_mean(values: Tensor, weight: Tensor | None) -> Tensor:
    """Mean of values times weight over all entries: learners with equal shares of rows can average their results."""
    return values.mean() if weight is None else (values * weight).mean()


def _values(critic: Critic, features: Features, hear: Tensor | None) -> Tensor:
    num_teams, num_agents = features.shape[1:3]
    parts = parts_of(num_teams, num_agents, next(critic.parameters()).device)
    with constant_weights(critic):
        return torch.stack(
            [
                torch.cat([critic(step[part], None if hear is None else hear[part]) for part in parts])
                for step in features
            ]
        )
