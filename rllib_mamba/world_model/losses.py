"""The six losses of the world model (Egorov and Shpilman, 2022): each a small function of tensors."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from rllib_mamba.world_model.predictions import Predictions, StartStates, predict, start_states
from rllib_mamba.world_model.sampling import Sampler
from rllib_mamba.world_model.sequence import AlignedSequence
from rllib_mamba.world_model.world_model import WorldModel

LOSSES = ("reconstruction", "reward", "continue", "available_action", "action_information", "kl")
KL_POSTERIOR_WEIGHT = 0.2
KL_EPSILON = 1e-7
LARGEST_SQUARED_REWARD_ERROR = 10.0


@dataclass(frozen=True)
class WorldModelOutputs:
    """Result of `world_model_losses`.

    Attributes:
        losses: scalars `reconstruction`, `reward`, `continue`, `available_action`, `action_information` and `kl`; the
            objective is their plain sum.
        predictions: what the losses were computed from.
        starts: posterior states to imagine from, without gradient.
        metrics: scalars without gradient.
    """

    losses: dict[str, Tensor]
    predictions: Predictions
    starts: StartStates
    metrics: dict[str, Tensor]

    @property
    def total(self) -> Tensor:
        """Sum of the losses."""
        return torch.stack(list(self.losses.values())).sum()

    def weighted_total(self, scales: Mapping[str, float]) -> Tensor:
        """Sum of the losses, each times its scale; 1 where `scales` names none."""
        return torch.stack([loss * scales.get(name, 1.0) for name, loss in self.losses.items()]).sum()


def world_model_losses(
    model: WorldModel,
    sequence: AlignedSequence,
    sampler: Sampler,
    kl_balance: float = KL_POSTERIOR_WEIGHT,
    reward_unit: Tensor | None = None,
) -> WorldModelOutputs:
    """All losses of the world model on an aligned sequence.

    Args:
        model: the world model.
        sequence: from `align`.
        sampler: how latent states are drawn.
        kl_balance: as in `balanced_kl`.
        reward_unit: as in `normalised_reward_loss`; None for the plain `reward_loss`.

    Raises:
        ValueError: if the model predicts legal actions and the sequence has no action mask.
    """
    if model.config.predict_action_mask and sequence.action_mask is None:
        raise ValueError(
            "The world model predicts legal actions (predict_action_mask=True), but the batch has no `action_mask`."
        )
    predictions = predict(model, sequence, sampler)
    rows = sequence.num_target_rows
    alive = sequence.alive[:rows]
    unit = None if model.normalizer is None else model.normalizer.deviation
    kl = balanced_kl(predictions.prior_logits, predictions.posterior_logits, model.config.num_categoricals, kl_balance)
    losses = {
        "reconstruction": reconstruction_loss(predictions.reconstruction, sequence.observation[:rows], alive, unit),
        "reward": (
            reward_loss(predictions.reward, sequence.reward)
            if reward_unit is None
            else normalised_reward_loss(predictions.reward, sequence.reward, reward_unit)
        ),
        "continue": continue_loss(predictions.continue_logits, sequence.done),
        "available_action": kl.new_zeros(()),
        "action_information": action_information_loss(
            predictions.action_information_logits, sequence.previous_action[1:rows], _action_known(sequence)[1:rows]
        ),
        "kl": kl.mean(),
    }
    if predictions.action_mask_logits is not None and sequence.action_mask is not None:
        losses["available_action"] = action_mask_loss(predictions.action_mask_logits, sequence.action_mask[:rows])
    metrics = _metrics(predictions, sequence, model.config.num_categoricals)
    return WorldModelOutputs(losses, predictions, start_states(sequence, predictions.posterior), metrics)


def reconstruction_loss(
    reconstruction: Tensor, observation: Tensor, alive: Tensor, unit: Tensor | None = None
) -> Tensor:
    """Smooth L1 of (..., N, O) summed over O, zero where not `alive` (..., N), averaged over all items.

    Counted in `unit` (O,), features with a small range weigh as much as others: what is worth knowing, such as a place
    on a great map, may be small in numbers.
    """
    if unit is not None:
        reconstruction, observation = reconstruction / unit, observation / unit
    error = F.smooth_l1_loss(reconstruction, observation, reduction="none").sum(-1)
    return (error * alive).mean()


def reward_loss(prediction: Tensor, reward: Tensor, unit: float | Tensor = 1.0) -> Tensor:
    """Mean smooth L1 of predicted and received rewards (..., N)."""
    return F.smooth_l1_loss(prediction, reward)


def normalised_reward_loss(prediction: Tensor, reward: Tensor, unit: Tensor) -> Tensor:
    """Mean Huber loss of predicted and received rewards (..., N), both counted in `unit`, a number above zero.

    Rewards far below one cost next to nothing in units of one: a model then leaves them unlearned. Errors up to ten
    units are squared, because what is wanted is the expected reward: beyond that the loss is that of the median, which
    is zero for a great reward that is less likely than not.
    """
    return F.huber_loss(prediction / unit, reward / unit, delta=LARGEST_SQUARED_REWARD_ERROR)


def continue_loss(logits: Tensor, done: Tensor) -> Tensor:
    """Mean negative log-likelihood of going on, logits (..., N), against `done` (..., N) bool."""
    return F.binary_cross_entropy_with_logits(logits, (~done).to(logits.dtype))


def action_mask_loss(logits: Tensor, action_mask: Tensor) -> Tensor:
    """Negative log-likelihood of the legal actions (..., N, A) bool, summed over actions, averaged over the rest."""
    likelihood = F.binary_cross_entropy_with_logits(logits, action_mask.to(logits.dtype), reduction="none")
    return likelihood.sum(-1).mean()


def action_information_loss(logits: Tensor, action: Tensor, known: Tensor) -> Tensor:
    """Cross-entropy of logits (..., N, A) against actions (..., N), zero where not `known`, averaged over all items."""
    error = F.cross_entropy(logits.flatten(0, -2), action.flatten(), reduction="none")
    return (error * known.flatten()).mean()


def balanced_kl(
    prior_logits: Tensor, posterior_logits: Tensor, num_categoricals: int, kl_balance: float = KL_POSTERIOR_WEIGHT
) -> Tensor:
    """KL divergence from posterior to prior, (..., N), the mean over C categoricals; logits (..., N, C * K).

    Its value is KL(posterior || prior); the gradient is divided, the share `kl_balance` in [0, 1] to the posterior and
    the rest to the prior (DreamerV2, equation 2).
    """
    prior = _probabilities(prior_logits, num_categoricals)
    posterior = _probabilities(posterior_logits, num_categoricals)
    prior_log, posterior_log = torch.log(prior + KL_EPSILON), torch.log(posterior + KL_EPSILON)
    for_posterior = (posterior * (posterior_log - prior_log.detach())).sum(-1)
    for_prior = (posterior.detach() * (posterior_log.detach() - prior_log)).sum(-1)
    return (kl_balance * for_posterior + (1 - kl_balance) * for_prior).mean(-1)


def _probabilities(logits: Tensor, num_categoricals: int) -> Tensor:
    return torch.softmax(logits.unflatten(-1, (num_categoricals, -1)), -1)


def _action_known(sequence: AlignedSequence) -> Tensor:
    if sequence.options.reset_previous_action:
        return sequence.alive & ~sequence.first.unsqueeze(-1)
    return sequence.alive


@torch.no_grad()
def _metrics(predictions: Predictions, sequence: AlignedSequence, num_categoricals: int) -> dict[str, Tensor]:
    """Entropies in nats per categorical; errors in units of observation and reward; accuracies in [0, 1]."""
    rows = sequence.num_target_rows
    alive = sequence.alive[:rows]
    error = (predictions.reconstruction - sequence.observation[:rows]).abs().mean(-1)
    guess = predictions.action_information_logits.argmax(-1) == sequence.previous_action[1:rows]
    known = _action_known(sequence)[1:rows]
    return {
        "prior_entropy": _entropy(predictions.prior_logits, num_categoricals),
        "posterior_entropy": _entropy(predictions.posterior_logits, num_categoricals),
        "reconstruction_error": (error * alive).sum() / alive.sum().clamp(min=1),
        "reward_error": (predictions.reward - sequence.reward).abs().mean(),
        "continue_accuracy": ((predictions.continue_logits > 0) != sequence.done).float().mean(),
        "action_accuracy": (guess & known).sum() / known.sum().clamp(min=1),
    }


def _entropy(logits: Tensor, num_categoricals: int) -> Tensor:
    log_probabilities = torch.log_softmax(logits.unflatten(-1, (num_categoricals, -1)), -1)
    return -(log_probabilities.exp() * log_probabilities).sum(-1).mean()
