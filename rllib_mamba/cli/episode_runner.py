"""Plays episodes with what a checkpoint holds, in this process, without a cluster."""

import dataclasses
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core import (
    COMPONENT_ENV_RUNNER,
    COMPONENT_ENV_TO_MODULE_CONNECTOR,
    COMPONENT_LEARNER,
    COMPONENT_LEARNER_GROUP,
    COMPONENT_MODULE_TO_ENV_CONNECTOR,
    COMPONENT_RL_MODULE,
    DEFAULT_MODULE_ID,
)
from ray.rllib.env.env_context import EnvContext
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner

from rllib_mamba.algorithms.team_config import TeamAlgorithmConfig
from rllib_mamba.cli.checkpoint import CheckpointInfo
from rllib_mamba.cli.environments import make_user_environment, user_env_config
from rllib_mamba.cli.errors import CommandError, one_line
from rllib_mamba.cli.recording import Episode, EpisodeLog, recorded
from rllib_mamba.teams import TEAM_SETUP_KEY


class EpisodeRunner(Protocol):
    """Plays one episode after another."""

    def play(self, seed: int) -> Episode:
        """Plays an episode that begins with `env.reset(seed=seed)`; the same seed gives the same episode."""

    def close(self) -> None:
        """Closes the environment."""


def make_episode_runner(checkpoint: CheckpointInfo, log: EpisodeLog, greedy: bool) -> EpisodeRunner:
    """Returns what plays the policies of `checkpoint` on the environment of its configuration.

    Raises CommandError where the environment cannot be made, or the checkpoint is damaged or does not fit it.
    """
    policies = team_policies(checkpoint)
    if policies is None:
        return ModuleRunner(checkpoint, log, greedy)
    return PolicyRunner(policies, recorded(make_environment(checkpoint.config), log), log, greedy)


class PolicyRunner:
    """Plays with the policies of the teams themselves."""

    def __init__(self, policies: Mapping[str, Any], environment: Any, log: EpisodeLog, greedy: bool) -> None:
        self._policies = policies
        self._environment = environment
        self._log = log
        self._greedy = greedy

    def play(self, seed: int) -> Episode:
        """See `EpisodeRunner`."""
        seed_libraries(seed)
        self._log.expect(seed)
        observations, infos = self._environment.reset(seed=seed)
        for policy in self._policies.values():
            policy.reset()
        ended: set[Any] = set()
        over = False
        while not over:
            acting = {agent: value for agent, value in observations.items() if agent not in ended}
            actions: dict[Any, Any] = {}
            for policy in self._policies.values():
                actions |= policy.act(acting, infos, greedy=self._greedy)
            observations, _, terminateds, truncateds, infos = self._environment.step(actions)
            for policy in self._policies.values():
                policy.end(terminateds)
            ended |= {agent for flags in (terminateds, truncateds) for agent, flag in flags.items() if flag}
            over = "__all__" in ended
        return self._log.finished()

    def close(self) -> None:
        """See `EpisodeRunner`."""
        self._environment.close()


class ModuleRunner:
    """Plays with RLlib's own env runner, so that connectors and recurrent states are those of training."""

    def __init__(self, checkpoint: CheckpointInfo, log: EpisodeLog, greedy: bool) -> None:
        self._log = log
        self._greedy = greedy
        config = _recorded_config(checkpoint.config, log)
        default = MultiAgentEnvRunner if config.is_multi_agent else SingleAgentEnvRunner
        runner_class = config.env_runner_cls or default
        try:
            self._runner: Any = runner_class(config=config, worker_index=0, num_workers=0)
        except CommandError:
            raise
        except Exception as error:
            raise CommandError(
                f"the environment of {checkpoint.path} cannot be made: {type(error).__name__}: {one_line(str(error))}"
            ) from error
        try:
            self._restore(checkpoint.path)
        except Exception as error:
            self.close()
            raise CommandError(_why_not_restored(checkpoint.path, error)) from error

    def play(self, seed: int) -> Episode:
        """See `EpisodeRunner`."""
        seed_libraries(seed)
        self._log.expect(seed)
        self._runner.sample(num_episodes=1, explore=not self._greedy)
        return self._log.finished()

    def close(self) -> None:
        """See `EpisodeRunner`."""
        self._runner.stop()

    def _restore(self, path: Path) -> None:
        connectors = {
            COMPONENT_ENV_TO_MODULE_CONNECTOR: self._runner._env_to_module,
            COMPONENT_MODULE_TO_ENV_CONNECTOR: self._runner._module_to_env,
        }
        for name, connector in connectors.items():
            # Without a local env runner the connectors belong to the algorithm itself.
            for folder in (path / COMPONENT_ENV_RUNNER / name, path / name):
                if folder.is_dir():
                    connector.restore_from_path(str(folder))
                    break
        modules = path / COMPONENT_LEARNER_GROUP / COMPONENT_LEARNER / COMPONENT_RL_MODULE
        if not self._runner.config.is_multi_agent:
            modules /= DEFAULT_MODULE_ID
        self._runner.module.restore_from_path(str(modules))


def team_policies(checkpoint: CheckpointInfo) -> dict[str, Any] | None:
    """The policies of all teams, or None where the algorithm, or one of its teams, has none of its own."""
    policy_class = getattr(checkpoint.algorithm, "policy_class", None)
    config = checkpoint.config
    if policy_class is None or not isinstance(config, TeamAlgorithmConfig):
        return None
    trained = config.policies_to_train
    if trained is not None:
        return None
    try:
        return {team: policy_class.from_checkpoint(checkpoint.path, team=team) for team in config.teams}
    except (OSError, ValueError) as error:
        raise CommandError(one_line(str(error))) from error


def make_environment(config: AlgorithmConfig) -> Any:
    """Makes the environment of `config`, without teams around it. Raises CommandError where that fails."""
    try:
        return make_user_environment(config, user_env_config(config))
    except Exception as error:
        raise CommandError(f"the environment cannot be made: {type(error).__name__}: {one_line(str(error))}") from error


def _recorded_config(config: AlgorithmConfig, log: EpisodeLog) -> AlgorithmConfig:
    """A copy for one env runner in this process, whose environment reports to `log`."""
    original = config
    config = config.copy(copy_frozen=False)
    config.env_runners(num_env_runners=0, num_envs_per_env_runner=1, gym_env_vectorize_mode="sync")
    if isinstance(config, TeamAlgorithmConfig):
        setup = config.env_config[TEAM_SETUP_KEY]
        recording = dataclasses.replace(
            setup, env=lambda context: recorded(make_user_environment(original, dict(context)), log)
        )
        config.env_config = {**config.env_config, TEAM_SETUP_KEY: recording}
        return config

    # RLlib pickles what is registered by name, and so would give the log a copy; a class is passed on as it is.
    class Recorded:
        def __new__(cls, context: EnvContext) -> Any:
            return recorded(make_user_environment(original, dict(context)), log)

    config.env = Recorded
    return config


def _why_not_restored(path: Path, error: Exception) -> str:
    text = one_line(str(error))
    if "size mismatch" in text or "Missing key" in text or "Unexpected key" in text:
        return f"the checkpoint {path} does not fit this environment (other spaces than in training): {text}"
    return f"the checkpoint {path} is damaged: its modules cannot be read ({type(error).__name__}: {text})."


def seed_libraries(seed: int) -> None:
    """Makes what draws from global random states the same for the same seed."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
