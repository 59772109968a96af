from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from scripted import ScriptedEnv, result

from rllib_mamba.teams import TeamEnv, columns, possible_agents
from rllib_mamba.teams.spaces import AgentSpaces

BOX = gym.spaces.Box(-1, 1, (2,), np.float32)
TWO = gym.spaces.Discrete(2)


@pytest.mark.parametrize(
    ("space", "observation", "expected"),
    [
        (BOX, [0.5, -0.5], [0.5, -0.5]),
        (gym.spaces.Box(0, 255, (2, 2), np.uint8), np.array([[1, 2], [3, 4]], np.uint8), [1, 2, 3, 4]),
        (gym.spaces.Box(-1, 1, (), np.float32), np.float32(0.5), [0.5]),
        (gym.spaces.Discrete(3), 1, [0, 1, 0]),
        (gym.spaces.Discrete(3, start=5), 7, [0, 0, 1]),
        (gym.spaces.MultiBinary((2, 2)), np.array([[0, 1], [1, 1]]), [0, 1, 1, 1]),
        (gym.spaces.MultiDiscrete([2, 3]), np.array([1, 0]), [0, 1, 1, 0, 0]),
        (gym.spaces.Tuple((TWO, BOX)), (1, np.array([0.5, 1])), [0, 1, 0.5, 1]),
        (gym.spaces.Dict(x=TWO, y=gym.spaces.Dict(z=BOX)), {"x": 0, "y": {"z": np.zeros(2)}}, [1, 0, 0, 0]),
        # Beside a mask, the rest of a dict is the observation.
        (
            gym.spaces.Dict(x=TWO, y=BOX, action_mask=gym.spaces.MultiBinary(2)),
            {"x": 1, "y": np.ones(2), "action_mask": np.zeros(2)},
            [0, 1, 1, 1],
        ),
    ],
)
def test_flattened_observations(space: gym.Space, observation: Any, expected: list[float]):
    spaces = AgentSpaces("a", space, TWO)
    assert spaces.flatten(observation).tolist() == expected
    assert spaces.observation_size == len(expected)


@pytest.mark.parametrize(
    ("space", "observation"),
    [
        (BOX, [1.0]),
        (BOX, np.zeros((1, 2))),
        (BOX, {"obs": np.zeros(2)}),
        (gym.spaces.Discrete(3), 3),
        (gym.spaces.MultiBinary(2), np.zeros(3)),
        (gym.spaces.Dict(x=TWO, y=TWO), {"x": 1}),
        (gym.spaces.Dict(obs=BOX, action_mask=gym.spaces.MultiBinary(2)), {"action_mask": np.ones(2)}),
        (gym.spaces.Dict(obs=BOX, action_mask=gym.spaces.MultiBinary(2)), np.zeros(2)),
    ],
)
def test_observation_that_does_not_fit(space: gym.Space, observation: Any):
    with pytest.raises(ValueError, match="does not fit the space"):
        AgentSpaces("a", space, TWO).flatten(observation)


@pytest.mark.parametrize(
    "space",
    [
        None,
        gym.spaces.Text(5),
        gym.spaces.Sequence(BOX),
        gym.spaces.Dict(x=BOX, y=gym.spaces.Text(5)),
        gym.spaces.Dict(action_mask=gym.spaces.MultiBinary(2)),
    ],
)
def test_unsupported_observation_space_names_agent_and_space(space: gym.Space | None):
    with pytest.raises(
        ValueError, match=r"observation space of agent 'walker' is not supported: .*(Text|Sequence|None|Dict)"
    ):
        AgentSpaces("walker", space, TWO)


@pytest.mark.parametrize("space", [BOX, gym.spaces.MultiDiscrete([2, 2]), None])
def test_only_discrete_actions_for_now(space: gym.Space | None):
    with pytest.raises(ValueError, match=r"action space of agent 'walker' is .*only Discrete"):
        AgentSpaces("walker", BOX, space)


def test_agent_without_a_space():
    env = ScriptedEnv(result({"a": 0}))
    del env.action_spaces["b"]
    with pytest.raises(ValueError, match="ScriptedEnv has no observation or action space for agent 'b'"):
        TeamEnv(env, {"team": ("a", "b")})


class Bare(MultiAgentEnv):
    """An environment that names its agents in one of the ways that RLlib has had."""

    def __init__(self, **attributes: Any) -> None:
        for name, value in attributes.items():
            setattr(self, name, value)
        super().__init__()


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"possible_agents": ["b", "a"]}, ("b", "a")),
        ({"possible_agents": ["b", "a"], "agents": ["a"]}, ("b", "a")),
        ({"agents": ["b", "a"]}, ("b", "a")),
        # The order of a set is another one in every process.
        ({"_agent_ids": {"train_10", "train_9", "train_1"}}, ("train_1", "train_9", "train_10")),
        ({"_agent_ids": {10, 9, 1}}, (1, 9, 10)),
    ],
)
def test_possible_agents(attributes: dict[str, Any], expected: tuple[Any, ...]):
    assert possible_agents(Bare(**attributes)) == expected


def test_environment_without_agents():
    with pytest.raises(ValueError, match=r"Bare names no agents: set `self\.possible_agents`"):
        possible_agents(Bare())


def test_agent_named_twice():
    with pytest.raises(ValueError, match="more than once"):
        possible_agents(Bare(possible_agents=["a", "a"]))


def test_observation_of_a_mixed_team():
    inner = ScriptedEnv(result({"a": 2, "b": [1.0, 1.0]}), spaces={"a": gym.spaces.Discrete(3)})
    inner.script[0][0]["a"] = 2
    observations, _ = TeamEnv(inner, {"team": ("a", "b")}).reset()
    assert observations["team"][columns.OBS].tolist() == [[0, 0, 1], [1, 1, 0]]
