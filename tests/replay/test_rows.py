"""What episodes look like once they are stored."""

import numpy as np
import pytest
from gymnasium.spaces import MultiDiscrete
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode
from ray.rllib.env.single_agent_episode import SingleAgentEpisode

from rllib_mamba.replay import TeamReplayBuffer

TEAM = "team"


def stored(buffer, length):
    """The first `length` rows stored, without the batch dimension."""
    assert buffer.sequence_length == length
    return {name: column[0] for name, column in buffer.windows([0]).items()}


def test_terminated_episode_is_followed_by_absorbing_rows(episode_maker):
    maker = episode_maker(num_agents=2, action_mask=True, comm_mask=True)
    buffer = TeamReplayBuffer(capacity=100, sequence_length=6, seed=0)
    buffer.add_episodes(maker.play(1, 4, ends=[2, 4]), TEAM)
    rows = stored(buffer, 6)

    assert rows["obs"][:, :, 0].tolist() == [[1000, 1000], [1001, 1001], [0, 1002], [0, 1003], [0, 0], [0, 0]]
    assert rows["alive"].tolist() == [[1, 1], [1, 1], [0, 1], [0, 1], [0, 0], [0, 0]]
    assert rows["terminated"].tolist() == [[0, 0], [1, 0], [1, 0], [1, 1], [1, 1], [1, 1]]
    assert rows["reward"].tolist() == [[1001, 1002], [1002, 1003], [1003, 1004], [1004, 1005], [0, 0], [0, 0]]
    assert rows["action"][:4].tolist() == [[0, 0], [1, 1], [2, 2], [3, 3]]
    assert set(rows["action"][4:].ravel()) <= set(range(5))
    assert rows["last"].tolist() == [False] * 5 + [True]
    assert not rows["truncated"].any()
    for t in range(4):
        observation = maker.observation(1, t, [2, 4])
        np.testing.assert_array_equal(rows["action_mask"][t], observation["action_mask"])
        np.testing.assert_array_equal(rows["comm_mask"][t], observation["comm_mask"])
    assert rows["action_mask"][4:].all()
    np.testing.assert_array_equal(rows["comm_mask"][4:], [np.eye(2)] * 2)
    assert buffer.num_env_steps_added_lifetime == 4
    assert len(buffer) == 6


def test_truncated_episode_has_no_absorbing_rows(episode_maker):
    buffer = TeamReplayBuffer(capacity=100, sequence_length=4)
    buffer.add_episodes(episode_maker(num_agents=2).play(1, 4, truncated=True, ends=[2, 9]), TEAM)
    rows = stored(buffer, 4)

    assert len(buffer) == 4
    assert rows["last"].tolist() == [False] * 3 + [True]
    assert rows["truncated"].tolist() == [False] * 3 + [True]
    assert rows["terminated"].tolist() == [[0, 0], [1, 0], [1, 0], [1, 0]]
    assert "action_mask" not in rows
    assert "comm_mask" not in rows


def test_termination_of_an_episode_ends_every_agent(episode_maker):
    buffer = TeamReplayBuffer(capacity=100, sequence_length=3, absorbing_steps=0)
    buffer.add_episodes(episode_maker(num_agents=2).play(1, 3, ends=[9, 9]), TEAM)

    assert stored(buffer, 3)["terminated"].tolist() == [[0, 0], [0, 0], [1, 1]]


@pytest.mark.parametrize("absorbing_steps", [0, 1, 3])
def test_number_of_absorbing_rows(episode_maker, absorbing_steps):
    buffer = TeamReplayBuffer(capacity=100, sequence_length=5 + absorbing_steps, absorbing_steps=absorbing_steps)
    buffer.add_episodes(episode_maker().play(1, 5), TEAM)
    rows = stored(buffer, 5 + absorbing_steps)

    assert len(buffer) == 5 + absorbing_steps
    assert rows["alive"].all(axis=1).tolist() == [True] * 5 + [False] * absorbing_steps
    assert rows["last"].tolist() == [False] * (4 + absorbing_steps) + [True]


def test_absorbing_actions_are_random(episode_maker):
    buffer = TeamReplayBuffer(capacity=10_000, sequence_length=2, seed=0)
    for episode in range(100):
        buffer.add_episodes(episode_maker(num_agents=4).play(episode, 1), TEAM)
    rows = buffer.windows(np.arange(0, 300, 3) + 1)  # both absorbing rows of each episode

    frequencies = np.bincount(rows["action"].ravel(), minlength=5) / rows["action"].size
    np.testing.assert_allclose(frequencies, 0.2, atol=0.06)  # 800 draws: four standard deviations


def test_single_agent_chunks_of_the_team_are_taken_too(episode_maker):
    chunks = episode_maker().play(1, 9, chunk_length=4)
    multi_agent, single_agent = TeamReplayBuffer(50, 11, seed=0), TeamReplayBuffer(50, 11, seed=0)
    multi_agent.add_episodes(chunks, TEAM)
    single_agent.add_episodes([chunk.agent_episodes[TEAM] for chunk in chunks])

    for name, column in multi_agent.windows([0]).items():
        np.testing.assert_array_equal(column, single_agent.windows([0])[name])


def test_dtypes_and_shapes(episode_maker):
    buffer = TeamReplayBuffer(capacity=100, sequence_length=7)
    maker = episode_maker(num_agents=3, observation_size=4, num_actions=5, action_mask=True, comm_mask=True)
    buffer.add_episodes(maker.play(1, 30), TEAM)

    assert {name: (column.shape, column.dtype.name) for name, column in buffer.sample(6).items()} == {
        "obs": ((6, 7, 3, 4), "float32"),
        "action": ((6, 7, 3), "int64"),
        "reward": ((6, 7, 3), "float32"),
        "terminated": ((6, 7, 3), "bool"),
        "truncated": ((6, 7), "bool"),
        "alive": ((6, 7, 3), "bool"),
        "last": ((6, 7), "bool"),
        "action_mask": ((6, 7, 3, 5), "bool"),
        "comm_mask": ((6, 7, 3, 3), "bool"),
    }


def test_many_actions_are_kept_exactly(episode_maker):
    buffer = TeamReplayBuffer(capacity=1000, sequence_length=400)
    buffer.add_episodes(episode_maker(num_actions=300, action_mask=True).play(1, 400), TEAM)

    assert stored(buffer, 400)["action"][:, 0].tolist() == [t % 300 for t in range(400)]


def two_team_episode():
    """An episode of two teams, cut after every step: "left" ends with step 3, "right" with the episode at step 5."""
    spaces = {team: MultiDiscrete([2]) for team in ("left", "right")}
    chunk = MultiAgentEpisode(observation_space=dict.fromkeys(spaces), action_space=spaces)

    def observe(t, ended):
        return {
            "obs": np.array([[t]], np.float32),
            "alive": np.array([not ended], np.int8),
            "ended": np.array([ended], np.int8),
            "rewards": np.array([t], np.float32),
        }

    chunk.add_env_reset(observations={team: observe(0, False) for team in spaces})
    for t in range(1, 6):
        playing = [team for team in spaces if team == "right" or t <= 3]
        chunk.add_env_step(
            observations={team: observe(t, t == {"left": 3, "right": 5}[team]) for team in playing},
            actions=dict.fromkeys(playing, np.array([t % 2])),
            rewards=dict.fromkeys(playing, 0.0),
            terminateds={"left": True} if t == 3 else {"__all__": t == 5},
            truncateds={"__all__": False},
            infos={},
        )
        successor = chunk.cut() if t < 5 else None
        yield chunk
        chunk = successor


@pytest.mark.parametrize(("team", "steps"), [("left", 3), ("right", 5)])
def test_team_that_is_over_before_the_others(team, steps):
    buffer = TeamReplayBuffer(capacity=50, sequence_length=steps + 2)
    buffer.add_episodes(list(two_team_episode()), team)
    rows = stored(buffer, steps + 2)

    assert len(buffer) == steps + 2
    assert rows["obs"].ravel().tolist() == [*range(steps), 0, 0]
    assert rows["reward"].ravel().tolist() == [*range(1, steps + 1), 0, 0]
    assert rows["terminated"].ravel().tolist() == [False] * (steps - 1) + [True] * 3
    assert rows["last"].tolist() == [False] * (steps + 1) + [True]


def test_not_a_team_observation():
    episode = SingleAgentEpisode(
        observations=[{"position": 0}, {"position": 1}], actions=[0], rewards=[0.0], len_lookback_buffer=0
    )
    buffer = TeamReplayBuffer(capacity=10, sequence_length=2)

    with pytest.raises(ValueError, match=r"lack \['obs', 'alive', 'ended', 'rewards'\].*TeamEnv"):
        buffer.add_episodes([episode])


def test_not_a_team_action_space(episode_maker):
    chunk = episode_maker().play(1, 3)[0].agent_episodes[TEAM]
    chunk.action_space = None
    buffer = TeamReplayBuffer(capacity=10, sequence_length=2)

    with pytest.raises(ValueError, match="expected a MultiDiscrete"):
        buffer.add_episodes([chunk])
