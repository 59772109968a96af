"""Arguments, memory, checkpoints of the buffer."""

import numpy as np
import pytest
from ray.rllib.utils.checkpoints import Checkpointable

from rllib_mamba.replay import TeamReplayBuffer

TEAM = "team"


def assert_same_batches(one, other, batches=3):
    for _ in range(batches):
        batch, expected = one.sample(5), other.sample(5)
        assert batch.keys() == expected.keys()
        for name, column in batch.items():
            np.testing.assert_array_equal(column, expected[name])


def window_values(buffer, num_agents):
    """The observation values (T,) of every complete window, oldest first."""
    values = []
    for start in range(len(buffer)):
        try:
            values.append(buffer.windows([start], num_agents)["obs"][0, :, 0, 0].tolist())
        except ValueError:
            continue
    return values


@pytest.fixture
def fill(episode_maker):
    """Fills a buffer with 150 rows of two team sizes and two unfinished episodes; returns the rest of those."""

    def fill(buffer):
        small, large = (episode_maker(num_agents=n, action_mask=True, comm_mask=True) for n in (2, 4))
        for episode in range(1, 9):
            buffer.add_episodes((small if episode % 3 else large).play(episode, 10 + episode, chunk_length=4), TEAM)
        one, two = small.play(20, 30, chunk_length=5), large.play(21, 30, chunk_length=8)
        buffer.add_episodes([one[0], two[0], one[1]], TEAM)
        return [two[1], *one[2:], *two[2:]]

    return fill


@pytest.fixture
def filled(fill):
    buffer = TeamReplayBuffer(capacity=150, sequence_length=7, seed=3)
    return buffer, fill(buffer)


class TestCheckpoint:
    @pytest.mark.parametrize("use_msgpack", [False, True])
    def test_restored_buffer_goes_on_alike(self, filled, tmp_path, use_msgpack):
        buffer, rest = filled
        assert isinstance(buffer, Checkpointable)
        buffer.sample(4)
        buffer.save_to_path(tmp_path / "replay", use_msgpack=use_msgpack)
        restored = TeamReplayBuffer.from_checkpoint(tmp_path / "replay")

        assert (len(restored), restored.num_env_steps_added_lifetime, restored.capacity, restored.sequence_length) == (
            150,
            buffer.num_env_steps_added_lifetime,
            150,
            7,
        )
        assert_same_batches(restored, buffer)
        for chunk in rest:
            buffer.add_episodes([chunk], TEAM)
            restored.add_episodes([chunk], TEAM)
            assert_same_batches(restored, buffer)
        assert len(restored) == len(buffer) == 150

    def test_restored_into_an_existing_buffer(self, filled, episode_maker, tmp_path):
        buffer, _ = filled
        buffer.save_to_path(tmp_path)
        other = TeamReplayBuffer(capacity=150, sequence_length=7, seed=99)
        other.add_episodes(episode_maker(num_agents=9, observation_size=1).play(1, 50), TEAM)
        other.restore_from_path(tmp_path)

        assert_same_batches(other, buffer)

    def test_empty_buffer(self, tmp_path, episode_maker):
        TeamReplayBuffer(capacity=150, sequence_length=7, seed=99).save_to_path(tmp_path)
        restored, fresh = TeamReplayBuffer.from_checkpoint(tmp_path), TeamReplayBuffer(150, 7, seed=99)

        assert len(restored) == 0
        for buffer in (restored, fresh):
            buffer.add_episodes(episode_maker().play(1, 30), TEAM)
        assert_same_batches(restored, fresh)

    def test_state_is_a_snapshot(self, filled):
        buffer, rest = filled
        state = buffer.get_state()
        one, two = (TeamReplayBuffer(capacity=150, sequence_length=7) for _ in range(2))
        one.set_state(state)
        buffer.add_episodes(rest, TEAM)
        buffer.sample(4)
        two.set_state(state)

        assert_same_batches(one, two)

    def test_state_holds_no_more_than_the_rows(self, episode_maker, tmp_path):
        buffer = TeamReplayBuffer(capacity=500_000, sequence_length=5)
        buffer.add_episodes(episode_maker(observation_size=100).play(1, 20), TEAM)
        buffer.save_to_path(tmp_path)

        assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 22 * 3 * 100 * 4 + 5000

    def test_smaller_capacity_keeps_the_newest(self, filled):
        buffer, _ = filled
        small = TeamReplayBuffer(capacity=60, sequence_length=7)
        small.set_state(buffer.get_state())

        assert len(small) == 60
        for size in (2, 4):
            newest = window_values(small, size)
            assert newest
            assert newest == window_values(buffer, size)[-len(newest) :]

    @pytest.mark.parametrize("sequence_length", [3, 12])
    def test_another_sequence_length(self, filled, fill, sequence_length):
        buffer, _ = filled
        restored, native = (TeamReplayBuffer(capacity=150, sequence_length=sequence_length) for _ in range(2))
        restored.set_state(buffer.get_state())
        fill(native)
        for size in (2, 4):
            assert window_values(restored, size) == window_values(native, size)


def test_same_seed_same_samples(episode_maker):
    one, two, other = (TeamReplayBuffer(capacity=300, sequence_length=5, seed=seed) for seed in (5, 5, 6))
    for buffer in (one, two, other):
        buffer.add_episodes(episode_maker().play(1, 200), TEAM)

    assert_same_batches(one, two)
    assert not np.array_equal(one.sample(10)["obs"], other.sample(10)["obs"])


class TestMemory:
    def raw_bytes(self, rows, observation_bytes, num_agents, observation_size, num_actions):
        """The bare numbers: an action in one byte, a reward in four, one byte per boolean (both masks stored)."""
        per_agent = observation_size * observation_bytes + 1 + 4 + 2 + num_actions + num_agents
        return rows * (num_agents * per_agent + 2)

    def test_empty_buffer_costs_nothing(self):
        assert TeamReplayBuffer(capacity=500_000, sequence_length=50).size_in_bytes == 0

    @pytest.mark.parametrize(("observation_dtype", "observation_bytes"), [("float32", 4), ("float16", 2)])
    @pytest.mark.parametrize(("num_agents", "observation_size"), [(5, 50), (2, 3)])
    @pytest.mark.parametrize("rows", [800, 5000, 12_000])
    def test_size_is_bounded_by_the_bare_numbers(
        self, episode_maker, observation_dtype, observation_bytes, num_agents, observation_size, rows
    ):
        maker = episode_maker(num_agents, observation_size, num_actions=4, action_mask=True, comm_mask=True)
        buffer = TeamReplayBuffer(capacity=5000, sequence_length=20, observation_dtype=observation_dtype)
        chunk = maker.play(1, 998)
        while buffer.num_env_steps_added_lifetime < rows:
            chunk[0].agent_episodes[TEAM].id_ = str(len(buffer))
            buffer.add_episodes(chunk, TEAM)
        raw = self.raw_bytes(len(buffer), observation_bytes, num_agents, observation_size, num_actions=4)

        assert len(buffer) == min(5000, -(-rows // 998) * 1000)
        assert buffer.size_in_bytes <= 1.2 * raw

    def test_float16_observations(self, episode_maker):
        buffer = TeamReplayBuffer(capacity=5000, sequence_length=20, observation_dtype="float16")
        buffer.add_episodes(episode_maker().play(1, 30), TEAM)
        rows = buffer.windows([0])

        assert rows["obs"].dtype == np.float32
        assert rows["obs"][0, :, 0, 0].tolist() == [1000 + t for t in range(20)]  # half precision: exact up to 2048


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"capacity": 49, "sequence_length": 50}, r"sequence_length \(50\) exceeds the replay capacity \(49"),
            ({"capacity": 49, "sequence_length": 1}, "sequence_length must be at least 2, got 1"),
            ({"capacity": 49, "sequence_length": 5, "absorbing_steps": -1}, "absorbing_steps must not be negative"),
            ({"capacity": 49, "sequence_length": 5, "observation_dtype": "int8"}, "'float32' or 'float16', got 'int8'"),
        ],
    )
    def test_arguments(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            TeamReplayBuffer(**arguments)

    def test_nothing_to_sample(self, episode_maker):
        buffer = TeamReplayBuffer(capacity=100, sequence_length=10)
        with pytest.raises(RuntimeError, match=r"No 10 consecutive steps are stored yet \(0 rows"):
            buffer.sample(1)
        buffer.add_episodes(episode_maker().play(1, 7), TEAM)
        assert not buffer.can_sample()
        with pytest.raises(RuntimeError, match=r"No 10 consecutive steps are stored yet \(9 rows"):
            buffer.sample(1)

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({"observation_size": 6}, "observation size 4 became 6"),
            ({"num_actions": 7}, "number of actions 5 became 7"),
            ({"action_mask": True}, "presence of an action mask False became True"),
            ({"comm_mask": True}, "presence of a communication mask False became True"),
        ],
    )
    def test_another_team(self, episode_maker, changed, message):
        buffer = TeamReplayBuffer(capacity=100, sequence_length=10)
        buffer.add_episodes(episode_maker().play(1, 20), TEAM)
        with pytest.raises(ValueError, match=message):
            buffer.add_episodes(episode_maker(num_agents=2, **changed).play(2, 20), TEAM)
        assert len(buffer) == 22

    def test_rows_that_do_not_fit_together(self, episode_maker):
        source = TeamReplayBuffer(capacity=100, sequence_length=5)
        source.add_episodes(episode_maker().play(1, 20), TEAM)
        rows = {name: column[0] for name, column in source.windows([2]).items()}
        buffer = TeamReplayBuffer(capacity=100, sequence_length=2)

        with pytest.raises(ValueError, match=r"'reward' has shape \(5, 2\), expected \(5, 3\)"):
            buffer.add_rows({**rows, "reward": rows["reward"][:, :2]}, num_actions=5, stream="a")
        with pytest.raises(ValueError, match="lack the column 'alive'"):
            buffer.add_rows({key: rows[key] for key in rows if key != "alive"}, num_actions=5, stream="a")
        with pytest.raises(ValueError, match=r"Actions must lie in 0\.\.2, got values from 0 to 4"):
            buffer.add_rows(rows, num_actions=3, stream="a")
        with pytest.raises(ValueError, match="after an episode's last one"):
            buffer.add_rows({**rows, "last": np.arange(5) == 2}, num_actions=5, stream="a")
        assert len(buffer) == 0
