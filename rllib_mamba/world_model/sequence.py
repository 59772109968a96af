"""From replayed windows to the rows a recurrent model is trained on."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

MINIMUM_SEQUENCE_LENGTH = 4


@dataclass(frozen=True)
class SequenceOptions:
    """How a replayed sequence is read. The defaults are the published algorithm's.

    Attributes:
        truncation_is_terminal: True learns that the world ends at a time limit. False tells the two apart: after a
            time limit the world would have gone on.
        reset_previous_action: the first observation of an episode follows no action; otherwise it follows, as
            published, the last action of the episode before.
        mask_dead_agents: agents that have ended are not heard by others, nor trained on in imagination.
        mask_communication: the environment's communication mask holds in training and imagination too, not in
            execution alone.
    """

    truncation_is_terminal: bool = True
    reset_previous_action: bool = False
    mask_dead_agents: bool = False
    mask_communication: bool = False

    @property
    def reset_after_transition(self) -> bool:
        """Whether the step after an episode's last row starts from that row's true state.

        As published it starts from the zero state of the next episode, and so do the predictions of the last row's
        reward and continuation.
        """
        return self.reset_previous_action or not self.truncation_is_terminal


@dataclass(frozen=True)
class AlignedSequence:
    """Rows j that pair an observation with the action before it; T stored steps give R = T - 1 rows, time first.

    The last row has no successor, so targets exist for rows 0 .. R - 2 only (`num_target_rows`).

    Attributes:
        options: how it was read.
        observation: (R, B, N, O).
        previous_action: (R, B, N) int64, the action before the observation.
        first: (R, B) bool, the row opens an episode: the state before it is zero.
        last: (R, B) bool, the row closes an episode.
        alive: (R, B, N) bool, the agent has an observation and acts.
        ended: (R, B, N) bool, the agent's episode is over for good.
        reward: (R - 1, B, N), received after the row's action.
        done: (R - 1, B, N) bool, what the continue head learns: the agent has ended after the row's action.
        action_mask: (R, B, N, A) bool, legal actions, or None.
        hear: (R, B, N, N) bool, who hears whom in the transition into a row, or None for everyone.
        hear_onward: (R, B, N, N) bool, the same for a transition out of a row whose successor is imagined, or None.
    """

    options: SequenceOptions
    observation: Tensor
    previous_action: Tensor
    first: Tensor
    last: Tensor
    alive: Tensor
    ended: Tensor
    reward: Tensor
    done: Tensor
    action_mask: Tensor | None
    hear: Tensor | None
    hear_onward: Tensor | None

    @property
    def num_target_rows(self) -> int:
        """Rows that have targets: T - 2."""
        return len(self.reward)


def align(batch: Mapping[str, Tensor], options: SequenceOptions) -> AlignedSequence:
    """Shift a replayed batch so that every observation stands beside the action before it.

    Args:
        batch: windows of T steps, (B, T, ...): `obs` (N, O), `action` (N) chosen from it, `reward` (N) and
            `terminated` (N) that follow, `alive` (N), `last` and `truncated` of the step, and where the environment
            has them `action_mask` (N, A) and `comm_mask` (N, N).
        options: how to read it.

    Raises:
        ValueError: if the windows are shorter than four steps.
    """
    length = batch["obs"].shape[1]
    if length < MINIMUM_SEQUENCE_LENGTH:
        raise ValueError(
            f"Sequences of {length} steps are too short to learn from: use {MINIMUM_SEQUENCE_LENGTH} or more."
        )
    steps = {key: value.transpose(0, 1) for key, value in batch.items()}
    terminated, last, alive = steps["terminated"].bool(), steps["last"].bool(), steps["alive"].bool()
    done = terminated
    if options.truncation_is_terminal:
        done = terminated | steps["truncated"].bool().unsqueeze(-1)
    # Whether an agent had ended before the window began is not stored: it had if it neither acts nor goes on.
    ended_at_start = (terminated[0] & ~alive[0]).unsqueeze(0)
    ended = torch.cat([ended_at_start, terminated[:-1] & ~last[:-1].unsqueeze(-1)])
    ended_before = ended[:-1] & ~last[:-1].unsqueeze(-1)
    dead, dead_before = (ended[1:], ended_before) if options.mask_dead_agents else (None, None)
    heard = steps["comm_mask"][1:].bool() if options.mask_communication and "comm_mask" in steps else None
    return AlignedSequence(
        options=options,
        observation=steps["obs"][1:],
        previous_action=steps["action"][:-1].long(),
        first=last[:-1],
        last=last[1:],
        alive=alive[1:],
        ended=ended[1:],
        reward=steps["reward"][1:-1],
        done=done[1:-1],
        action_mask=steps["action_mask"][1:].bool() if "action_mask" in steps else None,
        hear=hearing(heard, dead_before),
        hear_onward=hearing(heard, dead),
    )


def hearing(communication_mask: Tensor | None, dead: Tensor | None) -> Tensor | None:
    """Who hears whom in a transition, (..., N, N) bool, true at [i, j] where i hears j; None for everyone.

    Args:
        communication_mask: (..., N, N) bool of the step that the transition leads to, or None.
        dead: (..., N) bool, agents that had ended when the transition began, so that they sent no message, or None.
            An agent's last message, sent as it ends, is still heard.

    Every agent hears itself.
    """
    if dead is None:
        audible = communication_mask
    else:
        audible = (~dead).unsqueeze(-2).expand(*dead.shape, dead.shape[-1])
        if communication_mask is not None:
            audible = audible & communication_mask
    if audible is None:
        return None
    return audible | torch.eye(audible.shape[-1], dtype=torch.bool, device=audible.device)
