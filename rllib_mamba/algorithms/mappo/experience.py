"""From collected sequences to what actor and critic learn from."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from ray.rllib.core.columns import Columns
from torch import Tensor

from rllib_mamba.algorithms.mappo.advantages import Fragments, estimate_advantages, find_fragments
from rllib_mamba.algorithms.mappo.rl_module import ACTOR, CRITIC, MAPPORLModule
from rllib_mamba.teams import columns


class Sequences(NamedTuple):
    """S sequences of T steps of a team as RLlib's learner connectors make them, one part of an episode after the other.

    Attributes:
        observation: the team observation's parts, each (S, T, ...).
        action: (S, T, N) int64.
        log_probability: (S, T, N), of the action when it was taken.
        reward: (S, T), of the team, received after the step.
        acted: (S, T) bool: false at the observation that follows the last step of a part, and at padding.
        actor_state, critic_state: (S, N, H), before the first step.
    """

    observation: dict[str, Tensor]
    action: Tensor
    log_probability: Tensor
    reward: Tensor
    acted: Tensor
    actor_state: Tensor
    critic_state: Tensor

    @classmethod
    def from_batch(cls, batch: dict[str, Any], module: MAPPORLModule) -> Sequences:
        """Reads a team's batch; without a GRU every step is a sequence of its own."""
        observation = dict(batch[Columns.OBS])
        action, log_probability, reward = (batch[key] for key in _STEP_COLUMNS)
        acted = batch[Columns.LOSS_MASK].bool()
        if module.is_stateful():
            state = batch[Columns.STATE_IN]
            return cls(observation, action, log_probability, reward, acted, state[ACTOR], state[CRITIC])
        number = (len(action),)
        return cls(
            {key: part.unsqueeze(1) for key, part in observation.items()},
            action.unsqueeze(1),
            log_probability.unsqueeze(1),
            reward.unsqueeze(1),
            acted.unsqueeze(1),
            module.networks.network.initial_state(number).to(action.device),
            module.critic.initial_state(number).to(action.device),
        )


_STEP_COLUMNS = (Columns.ACTIONS, Columns.ACTION_LOGP, Columns.REWARDS)


class ReturnOptions(NamedTuple):
    """How rewards become returns.

    Attributes:
        gamma: discount per step.
        trace_decay: lambda of the advantages.
        shared_reward: every agent learns from the team's reward; otherwise each from its own.
        death_masking: whether the shared return of an agent goes on after its end, with the value of being dead.
    """

    gamma: float
    trace_decay: float
    shared_reward: bool
    death_masking: bool

    @property
    def outlives_agents(self) -> bool:
        """Whether an agent's return goes on after its own end, up to that of the team."""
        return self.shared_reward and self.death_masking


class Experience(NamedTuple):
    """What actor and critic learn from, without gradient; the columns of `Sequences` and, each (S, T, N):

    Attributes:
        advantage: of the action, not normalised.
        target: of the value, in units of the reward.
        value: before learning, in units of the reward.
        policy_mask: bool, steps at which the agent acted.
        value_mask: bool, steps at which its return was running.
    """

    sequences: Sequences
    advantage: Tensor
    target: Tensor
    value: Tensor
    policy_mask: Tensor
    value_mask: Tensor

    def select(self, index: Tensor) -> Experience:
        """The sequences of the given indices (S',) int64."""
        observation, *others = self.sequences
        chosen = {key: part[index] for key, part in observation.items()}
        return Experience(Sequences(chosen, *(part[index] for part in others)), *(part[index] for part in self[1:]))


@torch.no_grad()
def make_experience(sequences: Sequences, module: MAPPORLModule, options: ReturnOptions) -> Experience:
    """Values, advantages and value targets of collected sequences.

    An episode that was cut off, by a time limit or because enough was collected, is bootstrapped with the value of its
    last observation; one that has terminated is not. Death masking (Yu et al., 2022, section 5.5): an agent that has
    ended goes on receiving the team's reward, and its critic, which then sees zeros and the agent's place only, learns
    what that is worth; the actor does not learn from those steps. Without it, and with rewards of their own, the return
    ends with the agent.
    """
    critic = module.critic
    value = critic.denormalize(critic(sequences.observation, sequences.critic_state)[0])
    alive, ended = (sequences.observation[key].bool() for key in (columns.ALIVE, columns.ENDED))
    parts = find_fragments(sequences.acted.flatten())
    now, then = parts.rows[:, :-1], parts.rows[:, 1:]
    ends = ended.flatten(0, 1)[then]
    if options.outlives_agents:
        ends = ends.all(dim=-1, keepdim=True).expand_as(ends)
    waiting = ~(alive | ended).flatten(0, 1)[now]
    # Behind a part that is shorter than the longest nothing happens.
    padding = ~parts.is_step.unsqueeze(-1)
    estimate = estimate_advantages(
        _rewards(sequences, parts, options.shared_reward).masked_fill(padding, 0.0),
        value.flatten(0, 1)[parts.rows],
        torch.where(padding, 1.0, options.gamma * ~ends),
        options.trace_decay,
        waiting | padding,
    )
    advantage, target = (_in_rows(column, parts, value) for column in estimate)
    acted = sequences.acted.unsqueeze(-1)
    return Experience(
        sequences=sequences,
        advantage=advantage,
        target=target,
        value=value,
        policy_mask=acted & alive,
        value_mask=acted.expand_as(alive) if options.outlives_agents else acted & ~ended,
    )


def _rewards(sequences: Sequences, parts: Fragments, shared: bool) -> Tensor:
    """The reward of every agent after each step, (F, T, N)."""
    own = sequences.observation[columns.REWARDS].flatten(0, 1)[parts.rows[:, 1:]]
    if not shared:
        return own
    return sequences.reward.flatten()[parts.rows[:, :-1]].unsqueeze(-1).expand_as(own)


def _in_rows(column: Tensor, parts: Fragments, like: Tensor) -> Tensor:
    """The steps of parts (F, T, N) where they stand in (S, T', N); zeros elsewhere."""
    rows = torch.zeros_like(like).flatten(0, 1)
    rows[parts.rows[:, :-1][parts.is_step]] = column[parts.is_step]
    return rows.view_as(like)
