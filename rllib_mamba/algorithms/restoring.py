"""What must hold before an algorithm goes on from a checkpoint: RLlib leaves out what is missing without a word."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import gymnasium as gym
from ray.rllib.core import COMPONENT_LEARNER, COMPONENT_LEARNER_GROUP, COMPONENT_RL_MODULE
from ray.rllib.core.rl_module.rl_module import RLModule
from ray.rllib.utils.checkpoints import Checkpointable

from rllib_mamba.algorithms.checkpoints import config_from_checkpoint
from rllib_mamba.algorithms.team_config import TeamAlgorithmConfig

MODULES = f"{COMPONENT_LEARNER_GROUP}/{COMPONENT_LEARNER}/{COMPONENT_RL_MODULE}"

_STATE_FILES = ("algorithm_state", "state", RLModule.STATE_FILE_NAME)
_COMPONENTS = (".", COMPONENT_LEARNER_GROUP, f"{COMPONENT_LEARNER_GROUP}/{COMPONENT_LEARNER}", MODULES)


def check_checkpoint(
    path: Path,
    config: TeamAlgorithmConfig,
    spaces: dict[str, tuple[gym.Space, gym.Space]],
    further_components: Callable[[Any], Iterable[str]],
) -> None:
    """Makes sure that an algorithm can go on from the checkpoint directory `path`.

    Args:
        path: The directory.
        config: The algorithm's configuration.
        spaces: Observation and action space of every team.
        further_components: From the saved configuration to the names of what the checkpoint must hold beside RLlib's
            own components, such as replay buffers.

    Raises:
        FileNotFoundError: The directory or a part of it is missing.
        ValueError: A file is damaged, or the checkpoint was made with another environment or other sizes.
    """
    saved = config_from_checkpoint(path, config.algorithm_name)
    differences = list(_team_differences(saved, config))
    if not differences:
        expected = [*_COMPONENTS, *(f"{MODULES}/{team}" for team in config.teams)]
        _check_files(path, [*expected, *further_components(saved)])
        for team in config.trained_teams:
            differences += _space_differences(team, _saved_spaces(path / MODULES / team), spaces[team])
    differences += [
        f"{name} is {getattr(saved, name)!r} there and {getattr(config, name)!r} here"
        for name in config.checkpoint_options
        if getattr(saved, name) != getattr(config, name)
    ]
    if differences:
        raise ValueError(
            f"The checkpoint {path} does not fit this algorithm: {'; '.join(differences)}. Restore it with the "
            f"environment and the sizes it was made with (`{config.algorithm_name}.from_checkpoint` takes them from "
            "the checkpoint)."
        )


def check_files(path: Path) -> None:
    """Makes sure that no file below the directory `path` was cut off.

    Raises:
        ValueError: One was; it is named.
    """
    for file in sorted(path.rglob("*.pkl")):
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - 1))
            if stream.read() != pickle.STOP:
                raise ValueError(f"The checkpoint file {file} is damaged: its end is missing. Use another checkpoint.")


def _check_files(path: Path, components: Iterable[str]) -> None:
    for component in components:
        directory = path / component
        if not any(
            (directory / f"{name}{suffix}").is_file() for name in _STATE_FILES for suffix in (".pkl", ".msgpack")
        ):
            raise FileNotFoundError(
                f"The checkpoint {path} is incomplete: {directory} holds no state. Use another checkpoint."
            )
    check_files(path)


def _team_differences(saved: TeamAlgorithmConfig, config: TeamAlgorithmConfig) -> Iterable[str]:
    if set(saved.teams) != set(config.teams):
        yield f"its teams are {sorted(saved.teams)}, here they are {sorted(config.teams)}"
        return
    for team, agents in config.teams.items():
        if saved.teams[team] != agents:
            yield f"team {team!r} has the agents {list(saved.teams[team])} there and {list(agents)} here"


def _saved_spaces(module: Path) -> tuple[gym.Space, gym.Space]:
    constructor = pickle.loads((module / Checkpointable.CLASS_AND_CTOR_ARGS_FILE_NAME).read_bytes())
    arguments = constructor["ctor_args_and_kwargs"][1]
    return arguments["observation_space"], arguments["action_space"]


def _space_differences(
    team: str, saved: tuple[gym.Space, gym.Space], present: tuple[gym.Space, gym.Space]
) -> Iterable[str]:
    saved_parts, present_parts = (_parts(*spaces) for spaces in (saved, present))
    for name in sorted(saved_parts.keys() | present_parts.keys()):
        there, here = saved_parts.get(name, "missing"), present_parts.get(name, "missing")
        if there != here:
            yield f"{name} of team {team!r} is {there} there and {here} here"


def _parts(observation_space: gym.Space, action_space: gym.Space) -> dict[str, Any]:
    assert isinstance(observation_space, gym.spaces.Dict)
    assert isinstance(action_space, gym.spaces.MultiDiscrete)
    shapes = {f"the shape of {key!r}": part.shape for key, part in observation_space.spaces.items()}
    return {**shapes, "the number of actions": int(action_space.nvec.max())}
