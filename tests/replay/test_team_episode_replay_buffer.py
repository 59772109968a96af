"""Whole episodes of a team come back as they were played."""

import pickle

import numpy as np
import pytest

from rllib_mamba.replay import TeamEpisodeReplayBuffer

TEAM = "team"


def with_state(chunks):
    """The chunks with a global state of two numbers, both those of the observation of agent 0."""
    for chunk in chunks:
        episode = chunk.agent_episodes[TEAM]
        observations = episode.observations
        lookback = observations.lookback
        data = observations.data
        observations.data = {**data, "state": np.repeat(data["obs"][:, :1, 0], 2, axis=1)}
        assert episode.observations.lookback == lookback
    return chunks


def first_numbers(batch):
    return batch["obs"][:, :, 0, 0].tolist()


def test_an_episode_comes_back_with_what_it_ended_with(episode_maker):
    maker = episode_maker(num_agents=2, action_mask=True, comm_mask=True)
    buffer = TeamEpisodeReplayBuffer(capacity_episodes=3)
    buffer.add_episodes(with_state(maker.play(1, 4, ends=[2, 9], truncated=True)), TEAM)
    batch = buffer.batch([0])

    assert first_numbers(batch) == [[1000, 1001, 0, 0, 0]]
    assert batch["obs"][0, :, 1, 0].tolist() == [1000, 1001, 1002, 1003, 1004]
    assert batch["state"][0].tolist() == [[1000, 1000], [1001, 1001], [0, 0], [0, 0], [0, 0]]
    assert batch["alive"][0].tolist() == [[1, 1], [1, 1], [0, 1], [0, 1], [0, 1]]
    assert batch["action"][0, :, 0].tolist() == [0, 1, 2, 3, 0]
    assert batch["reward"][0].tolist() == [[1001, 1002], [1002, 1003], [1003, 1004], [1004, 1005], [0, 0]]
    assert batch["terminated"][0].tolist() == [[0, 0], [1, 0], [1, 0], [1, 0], [1, 0]]
    assert batch["filled"][0].tolist() == [1, 1, 1, 1, 0]
    assert batch["last"][0].tolist() == [0, 0, 0, 1, 0]
    assert batch["truncated"][0].tolist() == [0, 0, 0, 1, 0]
    for t in range(5):
        np.testing.assert_array_equal(batch["action_mask"][0, t], maker.observation(1, t, [2, 9])["action_mask"])
    assert "comm_mask" not in batch
    assert batch["obs"].dtype == batch["state"].dtype == batch["reward"].dtype == np.float32
    assert batch["action"].dtype == np.int64


def test_termination_is_told_apart_from_truncation(episode_maker):
    buffer = TeamEpisodeReplayBuffer(capacity_episodes=3)
    maker = episode_maker(num_agents=2)
    buffer.add_episodes(maker.play(1, 2, ends=[9, 9]), TEAM)
    buffer.add_episodes(maker.play(2, 2, ends=[9, 9], truncated=True), TEAM)
    batch = buffer.batch([0, 1])

    assert batch["terminated"][:, 1].tolist() == [[1, 1], [0, 0]]
    assert batch["truncated"][:, 1].tolist() == [0, 1]


@pytest.mark.parametrize("to_numpy", [True, False])
@pytest.mark.parametrize("chunk_length", [1, 3, 7, 100])
def test_chunks_of_several_episodes_are_joined(episode_maker, chunk_length, to_numpy):
    maker = episode_maker()
    whole, cut = TeamEpisodeReplayBuffer(capacity_episodes=5), TeamEpisodeReplayBuffer(capacity_episodes=5)
    whole.add_episodes([*maker.play(1, 7), *maker.play(2, 9)], TEAM)
    played = [
        maker.play(number, length, chunk_length=chunk_length, to_numpy=to_numpy) for number, length in ((1, 7), (2, 9))
    ]
    for turn in range(9):
        for chunks in played:
            cut.add_episodes(chunks[turn : turn + 1], TEAM)

    assert len(cut) == 16
    assert cut.num_env_steps_added_lifetime == 16
    expected, actual = whole.batch([0, 1]), cut.batch([0, 1])
    assert expected.keys() == actual.keys()
    for name, column in expected.items():
        np.testing.assert_array_equal(actual[name], column, err_msg=name)


def test_shorter_episodes_are_padded_with_zeros(episode_maker):
    buffer = TeamEpisodeReplayBuffer(capacity_episodes=5)
    maker = episode_maker(action_mask=True)
    buffer.add_episodes([*maker.play(1, 2, truncated=True), *maker.play(2, 4, truncated=True)], TEAM)
    # What was there before in the same memory must not shine through.
    for _ in range(3):
        batch = buffer.batch([0, 1])
        assert batch["filled"].tolist() == [[1, 1, 0, 0, 0], [1, 1, 1, 1, 0]]
        assert first_numbers(batch) == [[1000, 1001, 1002, 0, 0], [2000, 2001, 2002, 2003, 2004]]
        for name in ("obs", "action", "reward", "alive", "terminated", "last", "truncated", "action_mask"):
            assert not batch[name][0, 3:].any(), name
        for column in batch.values():
            column[:] = 1


def test_only_finished_episodes_are_sampled_and_none_twice(episode_maker):
    buffer = TeamEpisodeReplayBuffer(capacity_episodes=10, seed=1)
    maker = episode_maker()
    for number in range(1, 7):
        buffer.add_episodes(maker.play(number, 3), TEAM)
    buffer.add_episodes(maker.play(9, 3, chunk_length=2)[:1], TEAM)

    assert buffer.num_episodes == 6
    assert buffer.can_sample(6)
    assert not buffer.can_sample(7)
    counts = np.zeros(8)
    for _ in range(400):
        sampled = [int(row[0]) // 1000 for row in first_numbers(buffer.sample(3))]
        assert len(set(sampled)) == 3
        counts[sampled] += 1
    # 200 each are expected, with a deviation of 10.
    assert counts[[0, 7]].sum() == 0
    assert (np.abs(counts[1:7] - 200) < 50).all()
    with pytest.raises(RuntimeError, match="7 episodes are asked for and 6 are stored"):
        buffer.sample(7)


def test_the_oldest_episodes_leave_first(episode_maker):
    maker = episode_maker()
    by_episodes = TeamEpisodeReplayBuffer(capacity_episodes=2)
    by_env_steps = TeamEpisodeReplayBuffer(capacity_episodes=100, capacity_env_steps=8)
    for buffer in (by_episodes, by_env_steps):
        sizes = []
        for number in range(1, 5):
            buffer.add_episodes(maker.play(number, 4), TEAM)
            sizes.append(buffer.size_in_bytes)
        assert buffer.num_episodes == 2
        assert len(buffer) == 8
        assert buffer.num_env_steps_added_lifetime == 16
        assert first_numbers(buffer.batch([0]))[0][0] == 3000
        assert sizes[1] == sizes[2] == sizes[3] == 2 * sizes[0]


def test_an_episode_with_a_gap_is_dropped(episode_maker):
    maker = episode_maker()
    buffer = TeamEpisodeReplayBuffer(capacity_episodes=4)
    chunks = maker.play(1, 9, chunk_length=3)
    buffer.add_episodes([chunks[0], chunks[2]], TEAM)
    buffer.add_episodes(maker.play(2, 9, chunk_length=3)[1:], TEAM)

    assert buffer.num_episodes == 0
    buffer.add_episodes(maker.play(3, 9, chunk_length=3), TEAM)
    assert first_numbers(buffer.batch([0])) == [[3000 + t for t in range(9)] + [0]]


def test_a_restored_buffer_goes_on(episode_maker):
    maker = episode_maker(action_mask=True)
    buffer = TeamEpisodeReplayBuffer(capacity_episodes=3, seed=5)
    for number in range(1, 5):
        buffer.add_episodes(with_state(maker.play(number, number + 1)), TEAM)
    buffer.sample(2)
    open_episode = maker.play(8, 4, chunk_length=2)
    buffer.add_episodes(with_state(open_episode[:1]), TEAM)
    state = pickle.loads(pickle.dumps(buffer.get_state()))
    arguments, options = buffer.get_ctor_args_and_kwargs()
    restored = TeamEpisodeReplayBuffer(*arguments, **options)
    restored.set_state(state)

    assert (len(restored), restored.num_episodes) == (len(buffer), 3)
    assert restored.size_in_bytes == buffer.size_in_bytes
    assert restored.num_env_steps_added_lifetime == buffer.num_env_steps_added_lifetime
    for _ in range(3):
        expected, actual = buffer.sample(2), restored.sample(2)
        for name, column in expected.items():
            np.testing.assert_array_equal(actual[name], column, err_msg=name)
    # The environment has begun another episode.
    restored.add_episodes(with_state(open_episode[1:]), TEAM)
    assert restored.num_episodes == 3
    smaller = TeamEpisodeReplayBuffer(capacity_episodes=1, observation_dtype="float16")
    smaller.set_state(state)
    # Half precision has steps of two there.
    assert first_numbers(smaller.batch([0]))[0][:5] == pytest.approx([4000 + t for t in range(5)], abs=1)


def test_an_empty_buffer_can_be_saved_and_restored():
    buffer = TeamEpisodeReplayBuffer(capacity_episodes=3)
    buffer.set_state(TeamEpisodeReplayBuffer(capacity_episodes=3).get_state())
    assert not buffer.can_sample()


def test_observations_and_state_may_be_kept_in_half_the_memory(episode_maker):
    sizes = []
    for dtype in ("float32", "float16"):
        buffer = TeamEpisodeReplayBuffer(capacity_episodes=1, observation_dtype=dtype)
        buffer.add_episodes(with_state(episode_maker(observation_size=100).play(1, 50, truncated=True)), TEAM)
        sizes.append(buffer.size_in_bytes)
        batch = buffer.batch([0])
        assert batch["obs"].dtype == batch["state"].dtype == np.float32
        np.testing.assert_allclose(batch["state"][0, :, 0], 1000 + np.arange(51))
    assert sizes[1] < 0.6 * sizes[0]


def test_bad_arguments_and_episodes_are_errors(episode_maker):
    with pytest.raises(ValueError, match="capacity_episodes must be at least 1"):
        TeamEpisodeReplayBuffer(capacity_episodes=0)
    with pytest.raises(ValueError, match="capacity_env_steps must be at least 1"):
        TeamEpisodeReplayBuffer(capacity_episodes=1, capacity_env_steps=0)
    with pytest.raises(ValueError, match="float32"):
        TeamEpisodeReplayBuffer(capacity_episodes=1, observation_dtype="int8")
    buffer = TeamEpisodeReplayBuffer(capacity_episodes=9, capacity_env_steps=6)
    buffer.add_episodes(episode_maker().play(1, 2), TEAM)
    with pytest.raises(ValueError, match="number of agents 3 became 2"):
        buffer.add_episodes(episode_maker(num_agents=2).play(2, 2), TEAM)
    with pytest.raises(ValueError, match="observation size 4 became 5"):
        buffer.add_episodes(episode_maker(observation_size=5).play(3, 2), TEAM)
    with pytest.raises(ValueError, match=r"7 env steps or more.*holds 6"):
        buffer.add_episodes(episode_maker().play(4, 9, chunk_length=7), TEAM)
