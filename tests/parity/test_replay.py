"""The replay buffer against ring buffer, windows and episodes recorded from the original implementation."""

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from gymnasium.spaces import MultiDiscrete
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode

from rllib_mamba.replay import TeamReplayBuffer

TEAM = "team"
DATA = Path(os.environ.get("RLLIB_MAMBA_PARITY_DIR", Path(__file__).parent / "data"))
RECORDINGS = sorted(DATA.glob("learner_*_replay.npz"))


@pytest.fixture(params=RECORDINGS, ids=lambda path: path.stem)
def recorded(request):
    with np.load(request.param) as arrays:
        return dict(arrays)


def as_rows(recorded, prefix):
    """Recorded columns `prefix`* (..., N, .) as replay rows."""
    columns = {
        "obs": recorded[f"{prefix}.observation"],
        "action": recorded[f"{prefix}.action"].argmax(axis=-1),
        "reward": recorded[f"{prefix}.reward"][..., 0],
        "terminated": recorded[f"{prefix}.done"][..., 0].astype(bool),
        "alive": ~recorded[f"{prefix}.fake"][..., 0].astype(bool),
        "last": recorded[f"{prefix}.last"][..., 0, 0].astype(bool),
    }
    if f"{prefix}.av_action" in recorded:
        columns["action_mask"] = recorded[f"{prefix}.av_action"].astype(bool)
    # A time limit ends an episode in which somebody still acts; one that terminated ends with absorbing rows.
    columns["truncated"] = columns["last"] & columns["alive"].any(axis=-1)
    return columns


def ring_in_order(recorded):
    """The recorded ring buffer from its oldest row to its newest."""
    return {
        name: np.roll(column, -int(recorded["write_index"]), axis=0)
        for name, column in as_rows(recorded, "buffer").items()
    }


def episodes_of(rows):
    """The rows split after every `last`."""
    bounds = [0, *(np.flatnonzero(rows["last"]) + 1), len(rows["last"])]
    spans = [slice(begin, end) for begin, end in pairwise(bounds) if begin < end]
    return [{name: column[span] for name, column in rows.items()} for span in spans]


@pytest.fixture
def ring(recorded):
    """A buffer that went through more rows than it holds and ends with those of the recorded one."""
    capacity, _, num_actions = recorded["buffer.action"].shape
    buffer = TeamReplayBuffer(capacity, sequence_length=recorded["index"].shape[1])
    rows = ring_in_order(recorded)
    forgotten = {name: column[: capacity // 2 + 1] * 0 for name, column in rows.items()}
    for number, episode in enumerate([forgotten, *episodes_of(rows)]):
        buffer.add_rows(episode, num_actions=num_actions, stream=str(number))
    return buffer


def test_recordings_are_there():
    assert RECORDINGS, f"no learner_*_replay.npz in {DATA}"


def test_windows(recorded, ring):
    positions = (recorded["start_index"] - recorded["write_index"]) % ring.capacity
    windows = ring.windows(positions)
    raw = as_rows(recorded, "raw")

    assert len(ring) == ring.capacity
    assert windows.keys() == raw.keys()
    for name, column in raw.items():
        np.testing.assert_array_equal(windows[name], np.swapaxes(column, 0, 1), err_msg=name)


def test_ring(recorded, ring):
    ordered = ring_in_order(recorded)
    starts = np.arange(ring.capacity - ring.sequence_length + 1)
    windows = ring.windows(starts)
    for name, column in ordered.items():
        np.testing.assert_array_equal(
            windows[name], np.stack([column[start : start + ring.sequence_length] for start in starts]), err_msg=name
        )
    with pytest.raises(ValueError, match="No complete window"):
        ring.windows([len(starts)])


def test_sampled_windows_do_not_cross_the_write_position(recorded, ring):
    ordered = ring_in_order(recorded)
    possible = {
        ordered["obs"][start : start + ring.sequence_length].tobytes()
        for start in range(ring.capacity - ring.sequence_length + 1)
    }
    sampled = {window.tobytes() for window in ring.sample(30 * len(possible))["obs"]}

    assert sampled == possible


def play(rows, num_actions):
    """The team episode, in two chunks, that recorded rows come from; absorbing rows are left out."""
    length = len(rows["last"]) if rows["truncated"][-1] else int(rows["alive"].any(axis=-1).sum())
    num_agents = rows["alive"].shape[1]

    def observation(t):
        alive = rows["alive"][t] if t < len(rows["last"]) else rows["alive"][-1]
        observation = {
            "obs": rows["obs"][t] if t < length else np.zeros_like(rows["obs"][0]),
            "alive": alive.astype(np.int8),
            "ended": (rows["terminated"][t - 1] if t and t < length else ~alive).astype(np.int8),
            "rewards": rows["reward"][t - 1] if t else np.zeros(num_agents, np.float32),
        }
        if "action_mask" in rows:
            legal = rows["action_mask"][t] if t < length else np.ones((num_agents, num_actions))
            observation["action_mask"] = legal.astype(np.int8)
        return {TEAM: observation}

    chunk = MultiAgentEpisode(
        observation_space={TEAM: None}, action_space={TEAM: MultiDiscrete([num_actions] * num_agents)}
    )
    chunk.add_env_reset(observations=observation(0))
    for t in range(length):
        done, truncated = t + 1 == length, bool(rows["truncated"][-1])
        chunk.add_env_step(
            observations=observation(t + 1),
            actions={TEAM: rows["action"][t]},
            rewards={TEAM: 0.0},
            infos={},
            terminateds={"__all__": done and not truncated},
            truncateds={"__all__": done and truncated},
        )
        if t == length // 2 and not done:
            successor = chunk.cut(len_lookback_buffer=1)
            yield chunk.to_numpy()
            chunk = successor
    yield chunk.to_numpy()


def test_episodes_become_the_recorded_rows(recorded):
    num_actions = recorded["buffer.action"].shape[-1]
    # The first and the last may be incomplete.
    episodes = episodes_of(ring_in_order(recorded))[1:-1]
    for expected in episodes:
        length = len(expected["last"])
        buffer = TeamReplayBuffer(capacity=length, sequence_length=length)
        buffer.add_episodes(list(play(expected, num_actions)), TEAM)
        rows = {name: column[0] for name, column in buffer.windows([0]).items()}
        absorbing = ~expected["alive"].any(axis=-1)

        # What the original calls done at a time limit is told apart here.
        expected_ended = expected["terminated"] & ~(expected["truncated"][:, None] & expected["alive"])
        np.testing.assert_array_equal(rows["terminated"] | rows["truncated"][:, None], expected["terminated"])
        np.testing.assert_array_equal(rows["terminated"] & expected_ended, expected_ended)
        for name in set(expected) - {"terminated", "action"}:
            np.testing.assert_array_equal(rows[name], expected[name], err_msg=name)
        np.testing.assert_array_equal(rows["action"][~absorbing], expected["action"][~absorbing])
        assert ((rows["action"] >= 0) & (rows["action"] < num_actions)).all()
