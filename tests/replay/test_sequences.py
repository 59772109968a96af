"""Which sequences the buffer holds: chunks joined, episodes in a row, the oldest forgotten."""

import numpy as np
import pytest

from rllib_mamba.replay import TeamReplayBuffer

TEAM = "team"


def all_windows(buffer, num_agents=None):
    """Every complete window, as {position of its first row: columns (T, ...)}."""
    windows = {}
    for start in range(len(buffer)):
        try:
            windows[start] = {name: column[0] for name, column in buffer.windows([start], num_agents).items()}
        except ValueError:
            continue
    return windows


def assert_sequences_are_legal(windows):
    """Consecutive rows are consecutive steps of one episode, or `last` lies between them and a new episode begins."""
    for window in windows.values():
        values = window["obs"][:, 0, 0]
        for t in range(len(values) - 1):
            if window["last"][t]:
                assert values[t + 1] % 1000 == 0
                assert window["alive"][t + 1].all()
            elif window["alive"][t + 1].any():
                assert values[t + 1] == values[t] + 1
            else:
                assert window["terminated"][t].all()


@pytest.mark.parametrize("lookback", [0, 1, 4])
@pytest.mark.parametrize("to_numpy", [True, False])
def test_chunks_join_without_gap_or_repetition(episode_maker, lookback, to_numpy):
    buffer = TeamReplayBuffer(capacity=100, sequence_length=22)
    for chunk in episode_maker().play(1, 20, chunk_length=3, lookback=lookback, to_numpy=to_numpy):
        buffer.add_episodes([chunk], TEAM)
    rows = buffer.windows([0])

    assert len(buffer) == 22
    assert buffer.num_env_steps_added_lifetime == 20
    assert rows["obs"][0, :, 0, 0].tolist() == [1000 + t for t in range(20)] + [0, 0]
    assert rows["reward"][0, :, 0].tolist() == [1001 + t for t in range(20)] + [0, 0]
    assert rows["action"][0, :20, 0].tolist() == [t % 5 for t in range(20)]


def test_unfinished_episodes_can_be_sampled(episode_maker):
    buffer = TeamReplayBuffer(capacity=100, sequence_length=5)
    chunks = episode_maker().play(1, 60, chunk_length=4)
    buffer.add_episodes(chunks[:1], TEAM)
    assert not buffer.can_sample()
    buffer.add_episodes(chunks[1:2], TEAM)
    assert buffer.can_sample()
    assert sorted(all_windows(buffer)) == [0, 1, 2, 3]


def test_interleaved_environments_never_mix(episode_maker):
    maker, generator = episode_maker(num_agents=1), np.random.default_rng(0)
    buffer = TeamReplayBuffer(capacity=10_000, sequence_length=9)
    environments = [[] for _ in range(4)]
    episode = 0
    for _ in range(200):
        environment = environments[generator.integers(4)]
        if not environment:
            episode += 1
            length = int(generator.integers(1, 40))
            environment += maker.play(episode, length, chunk_length=5, truncated=bool(generator.integers(2)))
        buffer.add_episodes([environment.pop(0)], TEAM)
    windows = all_windows(buffer)

    assert_sequences_are_legal(windows)
    # Each of the four environments' sequences lacks windows only at its end.
    assert len(windows) == len(buffer) - 4 * 8
    assert sum(window["last"][:-1].any() for window in windows.values()) > 100


def test_windows_span_episodes(episode_maker):
    maker = episode_maker(num_agents=1)
    buffer = TeamReplayBuffer(capacity=100, sequence_length=6)
    buffer.add_episodes(maker.play(1, 2) + maker.play(2, 3, truncated=True) + maker.play(3, 4), TEAM)
    values = buffer.windows(range(8))["obs"][:, :, 0, 0].astype(int).tolist()

    whole = [1000, 1001, 0, 0, 2000, 2001, 2002, 3000, 3001, 3002, 3003, 0, 0]
    assert values == [whole[start : start + 6] for start in range(8)]
    with pytest.raises(ValueError, match=r"No complete window of 6 rows begins at \[8\]"):
        buffer.windows([7, 8])


def test_lost_chunk_leaves_two_sequences(episode_maker):
    chunks = episode_maker(num_agents=1).play(1, 30, chunk_length=10)
    buffer = TeamReplayBuffer(capacity=100, sequence_length=4)
    buffer.add_episodes([chunks[0], chunks[2]], TEAM)
    windows = all_windows(buffer)

    assert_sequences_are_legal(windows)
    assert len(windows) == (10 - 3) + (10 + 2 - 3)


def test_chunk_without_its_beginning_follows_no_episode(episode_maker):
    maker = episode_maker(num_agents=1)
    buffer = TeamReplayBuffer(capacity=100, sequence_length=4)
    buffer.add_episodes(maker.play(1, 5) + maker.play(2, 20, chunk_length=10)[1:], TEAM)

    assert_sequences_are_legal(all_windows(buffer))


def test_repeated_chunk_is_stored_once(episode_maker):
    chunks = episode_maker(num_agents=1).play(1, 30, chunk_length=10)
    buffer = TeamReplayBuffer(capacity=100, sequence_length=32)
    buffer.add_episodes([chunks[0], chunks[0], chunks[1], chunks[0], chunks[2]], TEAM)

    assert len(buffer) == 32
    assert buffer.num_env_steps_added_lifetime == 30
    assert buffer.windows([0])["obs"][0, :30, 0, 0].tolist() == [1000 + t for t in range(30)]


@pytest.mark.parametrize("capacity", [5, 64, 100, 700])
def test_oldest_rows_leave_first(episode_maker, capacity):
    maker = episode_maker(num_agents=1)
    buffer = TeamReplayBuffer(capacity=capacity, sequence_length=5, absorbing_steps=0)
    expected = []
    for episode in range(1, 15):
        length = capacity // 4 + episode
        buffer.add_episodes(maker.play(episode, length, chunk_length=7), TEAM)
        expected += [1000 * episode + t for t in range(length)]
    expected = expected[-capacity:]
    starts = np.arange(capacity - 4)

    assert len(buffer) == capacity
    np.testing.assert_array_equal(
        buffer.windows(starts)["obs"][:, :, 0, 0], [expected[start : start + 5] for start in starts]
    )
    with pytest.raises(ValueError, match="No complete window"):
        buffer.windows([capacity - 4])


def test_windows_stay_complete_as_interleaved_rows_are_forgotten(episode_maker):
    maker = episode_maker(num_agents=1)
    buffer = TeamReplayBuffer(capacity=50, sequence_length=6)
    environments = [maker.play(1, 200, chunk_length=7), maker.play(2, 200, chunk_length=3)]
    while all(environments):
        for environment in environments:
            buffer.add_episodes([environment.pop(0)], TEAM)
        assert len(buffer) <= 50
        assert_sequences_are_legal(all_windows(buffer))
    assert len(all_windows(buffer)) == 50 - 2 * 5


@pytest.mark.parametrize("meanwhile", [56, 61, 62, 63, 90])
def test_episode_that_goes_on_after_part_of_it_was_forgotten(episode_maker, meanwhile):
    maker = episode_maker(num_agents=1)
    slow, fast = maker.play(1, 20, chunk_length=8), maker.play(2, meanwhile + 1, chunk_length=meanwhile)
    buffer = TeamReplayBuffer(capacity=64, sequence_length=6, absorbing_steps=0)
    buffer.add_episodes([slow[0], fast[0], *slow[1:]], TEAM)
    windows = all_windows(buffer)

    assert_sequences_are_legal(windows)
    assert len(windows) == len(buffer) - 2 * 5
    # Of the slow episode its last twelve steps are left.
    assert [window["obs"][0, 0, 0] for window in windows.values()][-7:] == [1008 + t for t in range(7)]


def test_episode_longer_than_the_buffer(episode_maker):
    buffer = TeamReplayBuffer(capacity=30, sequence_length=30)
    buffer.add_episodes(episode_maker(num_agents=1).play(1, 100), TEAM)

    assert buffer.windows([0])["obs"][0, :, 0, 0].tolist() == [1000 + t for t in range(72, 100)] + [0, 0]


def test_every_window_is_equally_likely(episode_maker):
    buffer = TeamReplayBuffer(capacity=60, sequence_length=11, absorbing_steps=0, seed=1)
    buffer.add_episodes(episode_maker(num_agents=1).play(1, 100), TEAM)
    first = buffer.sample(20_000)["obs"][:, 0, 0, 0].astype(int) - 1040
    counts = np.bincount(first, minlength=50)

    assert len(counts) == 50
    np.testing.assert_allclose(counts, 400, atol=4.5 * np.sqrt(400))


def test_sampled_arrays_are_the_callers_own(episode_maker):
    buffer = TeamReplayBuffer(capacity=60, sequence_length=11)
    buffer.add_episodes(episode_maker().play(1, 40), TEAM)
    before = buffer.windows([3])
    for column in buffer.windows([3]).values():
        column[:] = 0

    for name, column in buffer.windows([3]).items():
        np.testing.assert_array_equal(column, before[name])


class TestTeamsOfSeveralSizes:
    def test_each_size_is_kept(self, episode_maker):
        buffer = TeamReplayBuffer(capacity=1000, sequence_length=8, seed=0)
        for episode in range(12):
            maker = episode_maker(num_agents=2 + episode % 3, action_mask=True)
            buffer.add_episodes(maker.play(episode, 10), TEAM)

        assert len(buffer) == 12 * 12
        assert buffer.num_env_steps_added_lifetime == 120
        for size in (2, 3, 4):
            windows = all_windows(buffer, size)
            assert_sequences_are_legal(windows)
            assert len(windows) == 4 * 12 - 7
            seen = np.stack([window["obs"][:, 0, 0] for window in windows.values()])
            assert set(seen[seen > 0] // 1000 % 3) == {size - 2}

    def test_batches_have_one_size_in_proportion(self, episode_maker):
        buffer = TeamReplayBuffer(capacity=1000, sequence_length=2, absorbing_steps=0, seed=0)
        buffer.add_episodes(episode_maker(num_agents=2).play(1, 301), TEAM)
        buffer.add_episodes(episode_maker(num_agents=5).play(2, 101), TEAM)
        sizes = [buffer.sample(3)["obs"].shape[2] for _ in range(800)]

        assert set(sizes) == {2, 5}
        assert sizes.count(2) == pytest.approx(600, abs=4 * np.sqrt(800 * 0.75 * 0.25))

    def test_oldest_rows_of_any_size_leave_first(self, episode_maker):
        buffer = TeamReplayBuffer(capacity=40, sequence_length=2, absorbing_steps=0)
        small, large = episode_maker(num_agents=2), episode_maker(num_agents=5)
        buffer.add_episodes(small.play(1, 20) + large.play(2, 20), TEAM)
        buffer.add_episodes(large.play(3, 15), TEAM)
        assert len(buffer) == 40
        assert buffer.windows([0], num_agents=2)["obs"][0, 0, 0, 0] == 1015
        assert buffer.windows([0], num_agents=5)["obs"][0, 0, 0, 0] == 2000

        buffer.add_episodes(large.play(4, 10), TEAM)
        assert buffer.windows([0])["obs"][0, 0, 0, 0] == 2005
        assert buffer.sample(4)["obs"].shape == (4, 2, 5, 4)

    def test_size_that_comes_back(self, episode_maker):
        buffer = TeamReplayBuffer(capacity=30, sequence_length=4)
        small, large = episode_maker(num_agents=2), episode_maker(num_agents=5)
        unfinished = small.play(1, 20, chunk_length=10)
        buffer.add_episodes(unfinished[:1], TEAM)
        buffer.add_episodes(large.play(2, 40), TEAM)
        buffer.add_episodes(unfinished[1:], TEAM)

        assert_sequences_are_legal(all_windows(buffer, 2))
        assert len(all_windows(buffer, 2)) == 10 + 2 - 3
        assert len(buffer) == 30

    def test_size_must_be_named(self, episode_maker):
        buffer = TeamReplayBuffer(capacity=100, sequence_length=2)
        buffer.add_episodes(episode_maker(num_agents=2).play(1, 9) + episode_maker(num_agents=5).play(2, 9), TEAM)
        with pytest.raises(ValueError, match=r"one of the stored team sizes \[2, 5\]"):
            buffer.windows([0])
