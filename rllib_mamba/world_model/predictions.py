"""What the world model makes of an aligned sequence."""

from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from rllib_mamba.world_model.linear import constant_weights
from rllib_mamba.world_model.rssm import LatentState
from rllib_mamba.world_model.sampling import Sampler
from rllib_mamba.world_model.sequence import AlignedSequence
from rllib_mamba.world_model.world_model import WorldModel


class Predictions(NamedTuple):
    """Predictions for the J = T - 2 rows with targets, with gradient.

    Attributes:
        posterior: states, (J, B, N, S) and (J, B, N, D).
        posterior_logits, prior_logits: (J, B, N, S).
        next_deterministic: (J, B, N, D), h after the row's action.
        reconstruction: (J, B, N, O).
        reward, continue_logits: (J, B, N), predicted from [z_t, h_{t+1}].
        action_mask_logits: (J, B, N, A), or None.
        action_information_logits: (J - 1, B, N, A), of rows 1 to J - 1.
    """

    posterior: LatentState
    posterior_logits: Tensor
    prior_logits: Tensor
    next_deterministic: Tensor
    reconstruction: Tensor
    reward: Tensor
    continue_logits: Tensor
    action_mask_logits: Tensor | None
    action_information_logits: Tensor


class StartStates(NamedTuple):
    """States to imagine from, M of them, without gradient.

    Attributes:
        state: (M, N, S) and (M, N, D).
        hear: (M, N, N) bool, who hears whom, or None for everyone.
        dead: (M, N) bool, agents that have ended already, or None to treat all alike.
    """

    state: LatentState
    hear: Tensor | None = None
    dead: Tensor | None = None


def predict(model: WorldModel, sequence: AlignedSequence, sampler: Sampler) -> Predictions:
    """Unroll the model over the sequence and apply every head to the rows that have targets."""
    with constant_weights(model):
        return _predict(model, sequence, sampler)


def _predict(model: WorldModel, sequence: AlignedSequence, sampler: Sampler) -> Predictions:
    rows = sequence.num_target_rows
    states, logits = model.rssm.unroll(
        model.encode(sequence.observation), _model_actions(model, sequence), sequence.first, sampler, sequence.hear
    )
    posterior = LatentState(states.stochastic[:rows], states.deterministic[:rows])
    next_deterministic = states.deterministic[1:]
    if sequence.options.reset_after_transition:
        next_deterministic = _transitions_out_of_last_rows(model, sequence, posterior, next_deterministic)
    features = posterior.features
    outcome_features = LatentState(posterior.stochastic, next_deterministic).features
    reconstruction, hidden = model.decode(features)
    return Predictions(
        posterior=posterior,
        posterior_logits=logits[:rows],
        prior_logits=model.rssm.prior_logits(posterior.deterministic),
        next_deterministic=next_deterministic,
        reconstruction=reconstruction,
        reward=model.reward(outcome_features),
        continue_logits=model.continue_logits(outcome_features),
        action_mask_logits=model.action_mask_logits(features) if model.config.predict_action_mask else None,
        action_information_logits=model.action_information(hidden[1:]),
    )


@torch.no_grad()
def infer_start_states(model: WorldModel, sequence: AlignedSequence, sampler: Sampler) -> StartStates:
    """Posterior states of the rows that have targets, flattened time first: M = (T - 2) * B of them.

    The model is used in the mode (training or evaluation) it is in.
    """
    rows = slice(sequence.num_target_rows)
    with constant_weights(model):
        unroll = model.rssm.unroll(
            model.encode(sequence.observation[rows]),
            _model_actions(model, sequence)[rows],
            sequence.first[rows],
            sampler,
            None if sequence.hear is None else sequence.hear[rows],
        )
    return start_states(sequence, unroll.posterior)


def start_states(sequence: AlignedSequence, posterior: LatentState) -> StartStates:
    """The posterior states (J, B, N, .) of a sequence as states to imagine from, flattened time first."""
    rows = sequence.num_target_rows
    return StartStates(
        posterior.detach().flatten(),
        None if sequence.hear_onward is None else sequence.hear_onward[:rows].flatten(0, 1),
        sequence.ended[:rows].flatten(0, 1) if sequence.options.mask_dead_agents else None,
    )


def _model_actions(model: WorldModel, sequence: AlignedSequence) -> Tensor:
    actions = _one_hot_actions(model, sequence.previous_action, sequence.observation)
    if sequence.options.reset_previous_action:
        actions = actions * ~sequence.first[..., None, None]
    return actions


def _one_hot_actions(model: WorldModel, actions: Tensor, like: Tensor) -> Tensor:
    return F.one_hot(actions, model.config.num_actions).to(like.dtype)


def _transitions_out_of_last_rows(
    model: WorldModel, sequence: AlignedSequence, posterior: LatentState, next_deterministic: Tensor
) -> Tensor:
    rows = sequence.num_target_rows
    last = sequence.last[:rows]
    if last.device.type != "cpu":
        # Elsewhere it takes longer to wait for which rows are the last ones than to compute those of all.
        actions = _one_hot_actions(model, sequence.previous_action[1 : rows + 1], sequence.observation)
        onward = None if sequence.hear_onward is None else sequence.hear_onward[:rows]
        return torch.where(last[..., None, None], model.rssm.transition(posterior, actions, onward), next_deterministic)
    step, item = last.nonzero(as_tuple=True)
    if not len(step):
        return next_deterministic
    outcome = model.rssm.transition(
        LatentState(posterior.stochastic[step, item], posterior.deterministic[step, item]),
        _one_hot_actions(model, sequence.previous_action[step + 1, item], sequence.observation),
        None if sequence.hear_onward is None else sequence.hear_onward[step, item],
    )
    return next_deterministic.index_put((step, item), outcome)
