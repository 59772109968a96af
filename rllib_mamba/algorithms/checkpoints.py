"""From an RLlib checkpoint directory, or a running algorithm, to a policy without a cluster."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from ray.rllib.core import COMPONENT_LEARNER, COMPONENT_LEARNER_GROUP, COMPONENT_RL_MODULE
from ray.rllib.core.rl_module.rl_module import RLModule
from ray.rllib.utils.checkpoints import Checkpointable

from rllib_mamba.algorithms.layout import AgentLayout, TeamLayout
from rllib_mamba.algorithms.policy import ActingNetworks
from rllib_mamba.algorithms.team_config import TeamAlgorithmConfig
from rllib_mamba.teams import columns
from rllib_mamba.teams.spaces import AgentSpaces

if TYPE_CHECKING:
    from rllib_mamba.algorithms.team_algorithm import TeamAlgorithm

TrainedTeam = tuple[ActingNetworks, TeamLayout, list[str]]
"""What a `TeamPolicy` is made of: networks, layout and the names of presets."""


def config_from_checkpoint(path: Path, algorithm_name: str) -> TeamAlgorithmConfig:
    """The configuration an algorithm's checkpoint was made with; starts no cluster.

    Raises:
        FileNotFoundError: The directory, or its file, is missing.
        ValueError: The file is damaged, or the checkpoint is not of the algorithm called `algorithm_name`.
    """
    file = path / f"{Checkpointable.CLASS_AND_CTOR_ARGS_FILE_NAME}"
    if not path.is_dir():
        raise FileNotFoundError(f"There is no checkpoint directory {path}.")
    if not file.is_file():
        raise FileNotFoundError(f"{path} is no algorithm checkpoint: {file.name} is missing.")
    try:
        constructor = pickle.loads(file.read_bytes())
        state = constructor["ctor_args_and_kwargs"][0][0]
        config = state["class"].from_state(state)
    except (pickle.UnpicklingError, EOFError, KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"The checkpoint file {file} is damaged: {error}.") from error
    if not isinstance(config, TeamAlgorithmConfig) or config.algorithm_name != algorithm_name:
        raise ValueError(f"The checkpoint {path} was made by {constructor['class'].__name__}, not by {algorithm_name}.")
    return config


def team_from_checkpoint(path: Path, algorithm_name: str, team: str | None = None) -> TrainedTeam:
    """See `TeamPolicy.from_checkpoint`."""
    config = config_from_checkpoint(path, algorithm_name)
    modules = path / COMPONENT_LEARNER_GROUP / COMPONENT_LEARNER / COMPONENT_RL_MODULE
    trained = sorted(
        name for name in config.teams if (modules / name / Checkpointable.CLASS_AND_CTOR_ARGS_FILE_NAME).is_file()
    )
    team = _choose(team, trained, str(path))
    try:
        module = RLModule.from_checkpoint((modules / team).absolute())
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"The module of team {team!r} in {path} is damaged: {error}.") from error
    return _trained_team(module, config, team)


def team_from_algorithm(algorithm: TeamAlgorithm, team: str | None = None) -> TrainedTeam:
    """See `TeamPolicy.from_algorithm`."""
    team = _choose(team, algorithm.config.trained_teams, "this algorithm")
    trained = algorithm.learner_group.get_state(components=f"{COMPONENT_LEARNER}/{COMPONENT_RL_MODULE}/{team}")
    spec = algorithm.config.get_multi_rl_module_spec(spaces=algorithm.spaces).rl_module_specs[team]
    module = spec.build()
    module.set_state(trained[COMPONENT_LEARNER][COMPONENT_RL_MODULE][team])
    return _trained_team(module, algorithm.config, team)


def _choose(team: str | None, trained: list[str], where: str) -> str:
    if team is None and len(trained) == 1:
        return trained[0]
    if team not in trained:
        asked = "Name one of the teams" if team is None else f"There is no trained team {team!r}"
        raise ValueError(f"{asked}: {where} has {trained}.")
    return team


def _trained_team(module: Any, config: TeamAlgorithmConfig, team: str) -> TrainedTeam:
    if not isinstance(module, config.team_module_class):
        raise ValueError(f"Team {team!r} uses a {type(module).__name__}, not a module of {config.algorithm_name}.")
    return module.networks, _layout(module, config, team), config.presets


def _layout(module: Any, config: TeamAlgorithmConfig, team: str) -> TeamLayout:
    agents = []
    for agent in config.teams[team]:
        observation_space, action_space = config.agent_spaces[agent]
        # The same check and the same part of the space as in training.
        spaces = AgentSpaces(agent, observation_space, action_space)
        agents.append(AgentLayout(agent, _space_as_json(spaces.space), spaces.num_actions, spaces.first_action))
    observation_space = module.observation_space
    return TeamLayout(
        team=team,
        agents=tuple(agents),
        possible_agents=tuple(config.agent_spaces),
        observation_size=observation_space[columns.OBS].shape[1],
        num_actions=int(module.action_space.nvec.max()),
        action_mask=columns.ACTION_MASK in observation_space.spaces,
        comm_mask=columns.COMM_MASK in observation_space.spaces,
    )


def _space_as_json(space: gym.Space) -> dict[str, Any]:
    if isinstance(space, gym.spaces.Box | gym.spaces.MultiBinary):
        return {"kind": type(space).__name__, "shape": list(space.shape)}
    if isinstance(space, gym.spaces.Discrete):
        return {"kind": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, gym.spaces.MultiDiscrete):
        start = np.asarray(space.start).reshape(-1).tolist()
        return {"kind": "MultiDiscrete", "nvec": np.asarray(space.nvec).reshape(-1).tolist(), "start": start}
    if isinstance(space, gym.spaces.Dict):
        return {"kind": "Dict", "spaces": [[key, _space_as_json(part)] for key, part in space.spaces.items()]}
    assert isinstance(space, gym.spaces.Tuple)
    return {"kind": "Tuple", "spaces": [_space_as_json(part) for part in space.spaces]}
