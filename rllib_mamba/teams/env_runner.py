"""An env runner that lets the user know what is wrong with an environment."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.env.env_runner_group import EnvRunnerGroup
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode
from ray.rllib.utils.debug import update_global_seed_if_necessary
from ray.rllib.utils.metrics import (
    NUM_AGENT_STEPS_SAMPLED,
    NUM_AGENT_STEPS_SAMPLED_LIFETIME,
    NUM_ENV_STEPS_SAMPLED,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    NUM_EPISODES,
    NUM_EPISODES_LIFETIME,
    NUM_MODULE_STEPS_SAMPLED,
    NUM_MODULE_STEPS_SAMPLED_LIFETIME,
)
from torch import nn

from rllib_mamba.teams.errors import EnvironmentDataError
from rllib_mamba.teams.vector import TwoPhaseVectorEnv

_SECONDS_TO_ANSWER = 10.0

# Of what is counted, the keys of the metric and of its sum over an env runner's life.
_ENV_STEPS = ((NUM_ENV_STEPS_SAMPLED,), (NUM_ENV_STEPS_SAMPLED_LIFETIME,))
_EPISODES = ((NUM_EPISODES,), (NUM_EPISODES_LIFETIME,))


class _NoTracesOfBadInput(logging.Filter):
    """Keeps RLlib from logging as a crash, with advice that does not help, what is raised as an error anyway."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.exc_info is None or not isinstance(record.exc_info[1], EnvironmentDataError)


_NO_TRACES_OF_BAD_INPUT = _NoTracesOfBadInput()


class TeamEnvRunner(MultiAgentEnvRunner):
    """RLlib's own env runner, except that bad input is raised as what it is, and that no environments share a seed.

    RLlib raises an empty RuntimeError in its place, and in a remote env runner logs it, waits for a minute and starts
    the process again, a thousand times. All other failures are left to RLlib: a crashed process is restarted.

    Raises:
        EnvironmentDataError: from `sample`.
    """

    data_error: str | None = None
    env: Any
    _seed: int | None

    def __init__(self, config: AlgorithmConfig, **kwargs: Any) -> None:
        # Adding the same filter again does nothing.
        logging.getLogger("ray.rllib").addFilter(_NO_TRACES_OF_BAD_INPUT)
        self._counts: Counter[tuple[tuple[str, ...], tuple[str, ...]]] = Counter()
        super().__init__(config=config, **kwargs)
        if self._seed is not None:
            # RLlib's seeds are one apart from env runner to env runner, and from one of its environments to the next.
            self._seed += max(0, (self.worker_index or 0) - 1) * (config.num_envs_per_env_runner - 1)
        self._seed_of_a_new_run = self._seed

    def make_env(self) -> None:
        """As in RLlib, but not in place of an environment that gave bad input: the next one would do the same.

        RLlib calls it with `restart_failed_sub_environments=True` while it handles what an environment raised.
        The environments are stepped in two phases.
        """
        failure = sys.exception()
        if isinstance(failure, EnvironmentDataError):
            raise failure
        super().make_env()
        self.env = TwoPhaseVectorEnv(self.env)

    def make_module(self) -> None:
        """As in RLlib, but in evaluation mode from the start, which RLlib would set and undo at every step."""
        super().make_module()
        if self.module is not None:
            self.module.foreach_module(lambda _, module: module.eval() if isinstance(module, nn.Module) else module)

    def set_state(self, state: dict[str, Any]) -> None:
        """As in RLlib, but one that joins a run in its course does not begin with the run's first episodes."""
        super().set_state(state)
        steps = int(self.num_env_steps_sampled_lifetime or 0)
        joins = self._needs_initial_reset and self.env is not None and not self.config.in_evaluation
        if joins and steps and self._seed_of_a_new_run is not None:
            mixed = np.random.SeedSequence([self._seed_of_a_new_run, steps]).generate_state(1)[0]
            self._seed = int(mixed) >> 1
            update_global_seed_if_necessary(self.config.framework_str, self._seed)

    def sample(self, **kwargs: Any) -> Any:
        """As in RLlib."""
        try:
            return super().sample(**kwargs)
        except Exception as error:
            cause: BaseException | None = error
            while cause is not None and not isinstance(cause, EnvironmentDataError):
                cause = cause.__cause__
            if cause is None:
                raise
            self.data_error = str(cause)
            raise cause from None

    def _sample(self, **kwargs: Any) -> Any:
        try:
            return super()._sample(**kwargs)
        finally:
            self._log_counts()

    def _increase_sampled_metrics(self, num_steps: int, next_obs: Iterable[Any], episode: MultiAgentEpisode) -> int:
        """As in RLlib, which logs six values at every step of every environment: a fifth of its time."""
        self._counts[_ENV_STEPS] += num_steps
        if episode.is_done:
            self._counts[_EPISODES] += 1
        for agent in next_obs:
            self._counts[(NUM_AGENT_STEPS_SAMPLED, str(agent)), (NUM_AGENT_STEPS_SAMPLED_LIFETIME, str(agent))] += 1
            module = episode.module_for(agent)
            self._counts[(NUM_MODULE_STEPS_SAMPLED, module), (NUM_MODULE_STEPS_SAMPLED_LIFETIME, module)] += 1
        return num_steps

    def _log_counts(self) -> None:
        for keys, count in self._counts.items():
            metric, lifetime_metric = keys
            self.metrics.log_value(metric, count, reduce="sum")
            self.metrics.log_value(lifetime_metric, count, reduce="lifetime_sum", with_throughput=keys == _ENV_STEPS)
        self._counts.clear()

    def apply(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Runs `func` as RLlib does, but does not exit after bad input, so that the driver can ask what it was."""
        try:
            return func(self, *args, **kwargs)
        except EnvironmentDataError:
            raise
        except Exception as error:
            return super().apply(_raise, error)


class RaiseDataErrorsCallback(RLlibCallback):
    """Raises on the driver what the environments of remote env runners did wrong; RLlib only logs it.

    Raises:
        EnvironmentDataError: at the end of the iteration in which it happened.
    """

    def on_train_result(self, *, algorithm: Any, **kwargs: Any) -> None:
        for group in (algorithm.env_runner_group, algorithm.eval_env_runner_group):
            if group is not None:
                raise_data_errors(group)


def raise_data_errors(group: EnvRunnerGroup) -> None:
    """Raises what the environments of remote env runners did wrong.

    Raises:
        EnvironmentDataError: the message of the first one.
    """
    # An env runner whose call failed is out of service until RLlib has tried it again.
    if group.num_healthy_remote_workers() == group.num_remote_workers():
        return
    for message in group.foreach_env_runner(
        _data_error, local_env_runner=False, healthy_only=False, timeout_seconds=_SECONDS_TO_ANSWER
    ):
        if message is not None:
            raise EnvironmentDataError(message)


def _data_error(env_runner: Any) -> str | None:
    return getattr(env_runner, "data_error", None)


def _raise(env_runner: Any, error: Exception) -> None:
    raise error
