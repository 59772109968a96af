"""How replayed windows become training rows, and what the options change."""

import pytest
import torch

from rllib_mamba.world_model import SequenceOptions, align, hearing

B, T, N, O, A = 2, 6, 3, 4, 5  # noqa: E741
TOLD_APART = SequenceOptions(truncation_is_terminal=False)


def batch(**changes: torch.Tensor) -> dict[str, torch.Tensor]:
    """Windows without an end of an episode; values tell step and agent apart."""
    step = torch.arange(T).expand(B, T)
    arrays = {
        "obs": step[..., None, None].expand(B, T, N, O).float(),
        "action": (step[..., None] + torch.arange(N)) % A,
        "reward": step[..., None].expand(B, T, N).float() / 10,
        "terminated": torch.zeros(B, T, N, dtype=torch.bool),
        "alive": torch.ones(B, T, N, dtype=torch.bool),
        "last": torch.zeros(B, T, dtype=torch.bool),
        "truncated": torch.zeros(B, T, dtype=torch.bool),
    }
    return arrays | changes


def at(shape: tuple[int, ...], *places: tuple[int, ...]) -> torch.Tensor:
    flags = torch.zeros(shape, dtype=torch.bool)
    for place in places:
        flags[place] = True
    return flags


def test_an_observation_stands_beside_the_action_before_and_the_reward_after():
    sequence = align(batch(), SequenceOptions())
    assert sequence.num_target_rows == T - 2
    for row in range(T - 2):
        stored = row + 1
        assert (sequence.observation[row] == stored).all()
        assert sequence.previous_action[row, 0].tolist() == [(stored - 1 + agent) % A for agent in range(N)]
        torch.testing.assert_close(sequence.reward[row], torch.full((B, N), stored / 10))


def test_the_row_after_a_last_one_is_first():
    sequence = align(batch(last=at((B, T), (0, 2), (1, 0))), SequenceOptions())
    assert sequence.last.nonzero().tolist() == [[1, 0]]
    assert sequence.first.nonzero().tolist() == [[0, 1], [2, 0]]


def test_a_time_limit_is_an_end_or_is_not():
    truncated = batch(truncated=at((B, T), (0, 3)), last=at((B, T), (0, 3)))
    assert align(truncated, SequenceOptions()).done.nonzero().tolist() == [[2, 0, agent] for agent in range(N)]
    assert not align(truncated, TOLD_APART).done.any()


def test_a_termination_is_an_end_either_way():
    terminated = batch(terminated=at((B, T, N), (0, 3, 1)))
    for options in (SequenceOptions(), TOLD_APART):
        assert align(terminated, options).done.nonzero().tolist() == [[2, 0, 1]]


def test_an_agent_has_ended_from_the_step_after_its_end_until_its_episode_is_over():
    terminated = at((B, T, N), (0, 1, 2), (0, 2, 2), (0, 3, 2))
    sequence = align(batch(terminated=terminated, last=at((B, T), (0, 3))), SequenceOptions())
    assert sequence.ended.nonzero().tolist() == [[1, 0, 2], [2, 0, 2]]


def test_an_agent_that_neither_acts_nor_goes_on_had_ended_before_the_window():
    terminated = torch.zeros(B, T, N, dtype=torch.bool)
    terminated[0, :, 2] = True
    sequence = align(batch(terminated=terminated, alive=~terminated), SequenceOptions(mask_dead_agents=True))
    assert sequence.ended[:, 0, 2].all()
    assert not sequence.hear[:, 0, :2, 2].any()


def test_the_published_algorithm_uses_no_masks():
    sequence = align(batch(comm_mask=at((B, T, N, N))), SequenceOptions())
    assert sequence.hear is None
    assert sequence.hear_onward is None


def test_the_communication_mask_of_an_observation_holds_in_the_transition_to_it():
    mask = torch.eye(N, dtype=torch.bool).repeat(B, T, 1, 1)
    mask[0, 3, 0, 1] = True
    sequence = align(batch(comm_mask=mask), SequenceOptions(mask_communication=True))
    for hear in (sequence.hear, sequence.hear_onward):
        assert (hear & ~torch.eye(N, dtype=torch.bool)).nonzero().tolist() == [[2, 0, 0, 1]]


def test_the_message_sent_while_ending_is_heard_and_none_after():
    terminated = at((B, T, N), *((0, step, 2) for step in range(2, T)))
    sequence = align(batch(terminated=terminated), SequenceOptions(mask_dead_agents=True))
    # Stored step 2 is the last one on which agent 2 acts: row 2 is the transition out of it.
    assert sequence.hear[:, 0, 0, 2].tolist() == [True, True, True, False, False][: T - 1]
    assert sequence.hear_onward[:, 0, 0, 2].tolist() == [True, True, False, False, False][: T - 1]
    assert sequence.hear[:, 0, 2, 2].all()
    assert sequence.hear[:, 1].all()


def test_everyone_is_heard_again_in_the_next_episode():
    terminated = at((B, T, N), (0, 0, 2), (0, 1, 2), (0, 2, 2))
    sequence = align(batch(terminated=terminated, last=at((B, T), (0, 2))), SequenceOptions(mask_dead_agents=True))
    assert sequence.hear[:, 0, 0, 2].tolist() == [True, False, True, True, True]


def test_hearing_joins_masks_and_always_includes_oneself():
    communication = torch.tensor([[False, True, True], [True, True, False], [True, True, True]])
    dead = torch.tensor([False, True, False])
    assert hearing(None, None) is None
    assert hearing(communication, None).int().tolist() == [[1, 1, 1], [1, 1, 0], [1, 1, 1]]
    assert hearing(None, dead).int().tolist() == [[1, 0, 1], [1, 1, 1], [1, 0, 1]]
    assert hearing(communication, dead).int().tolist() == [[1, 0, 1], [1, 1, 0], [1, 0, 1]]


def test_too_short_windows_are_refused():
    short = {key: value[:, :3] for key, value in batch().items()}
    with pytest.raises(ValueError, match="Sequences of 3 steps are too short"):
        align(short, SequenceOptions())
