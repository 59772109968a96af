"""What the `Algorithm`s of all teams share: resources, policies, checkpoints, one step of collecting."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Self

import ray
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode
from ray.rllib.execution.rollout_ops import synchronous_parallel_sample
from ray.rllib.utils.annotations import override
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, SYNCH_WORKER_WEIGHTS_TIMER, TIMERS
from ray.tune.execution.placement_groups import PlacementGroupFactory

from rllib_mamba.algorithms.checkpoints import config_from_checkpoint
from rllib_mamba.algorithms.policy import TeamPolicy
from rllib_mamba.algorithms.resources import require_local_gpu, require_resources
from rllib_mamba.algorithms.restoring import check_checkpoint, check_files
from rllib_mamba.algorithms.team_config import TeamAlgorithmConfig
from rllib_mamba.teams.env_runner import raise_data_errors


class TeamAlgorithm(Algorithm):
    """An `Algorithm` on teams of agents."""

    config: TeamAlgorithmConfig
    #: What a trained team acts with where there is no cluster.
    policy_class: ClassVar[type[TeamPolicy]]

    @override(Algorithm)
    def setup(self, config: TeamAlgorithmConfig) -> None:
        """Builds env runners and learners as RLlib does.

        Raises:
            ValueError: The cluster has less than the run needs.
        """
        # Within a trial of Tune everything is reserved already.
        if ray.util.get_current_placement_group() is None:
            require_local_gpu(config)
            # The main process is this one.
            require_resources(config, type(self).resource_request(config.copy(copy_frozen=False)).bundles[1:])
        super().setup(config)

    @classmethod
    def resource_request(cls, config: TeamAlgorithmConfig | dict[str, Any]) -> PlacementGroupFactory:
        """What the processes of a run ask for, whether or not a cluster has it; the main process first."""
        return super().default_resource_request(config)

    @classmethod
    @override(Algorithm)
    def default_resource_request(cls, config: TeamAlgorithmConfig | dict[str, Any]) -> PlacementGroupFactory:
        """What Tune reserves for a trial.

        Raises:
            ValueError: The cluster has less than that; Tune would wait for ever.
        """
        request = cls.resource_request(config)
        if ray.is_initialized():
            require_resources(cls.get_default_config().update_from_dict(config), request.bundles)
        return request

    def _timed(self, phase: str) -> Any:
        """Logs the seconds that a phase takes in an iteration, its calls together."""
        return self.metrics.log_time((TIMERS, phase), reduce="sum")

    def _sync_weights(self) -> None:
        """Gives the env runners the weights of the trained teams."""
        with self._timed(SYNCH_WORKER_WEIGHTS_TIMER):
            self.env_runner_group.sync_weights(
                from_worker_or_learner_group=self.learner_group,
                policies=self.config.trained_teams,
                inference_only=True,
                # RLlib leaves out env runners that have not answered to the last weights, by default without waiting.
                timeout_seconds=self.config.sample_timeout_s,
            )

    def _sample(self, max_env_steps: int | None = None) -> list[MultiAgentEpisode]:
        """Collects episodes, or parts of them, with all env runners at once.

        Args:
            max_env_steps: Goes on until there are so many; None for one call of every env runner.

        Raises:
            EnvironmentDataError: An environment gave bad input.
        """
        with self._timed("env_runner_sample"):
            episodes, results = synchronous_parallel_sample(
                worker_set=self.env_runner_group,
                max_env_steps=max_env_steps,
                sample_timeout_s=self.config.sample_timeout_s,
                _uses_new_env_runners=True,
                _return_metrics=True,
            )
        self._note_sampled(results)
        return episodes

    def _note_sampled(self, results: list[Any]) -> None:
        """Takes the metrics of env runners that have sampled.

        Raises:
            EnvironmentDataError: An environment gave bad input.
        """
        # Not at the end of an iteration only: it ends when enough has been sampled.
        raise_data_errors(self.env_runner_group)
        self.metrics.aggregate(results, key=ENV_RUNNER_RESULTS)

    @override(Algorithm)
    def get_policy(self, policy_id: str | None = None) -> Any:
        """The trained team as a `TeamPolicy` that needs no cluster.

        Args:
            policy_id: The team, named as its module; may be left out where there is one team only.

        Raises:
            ValueError: There is no such team, or its module is not one of this algorithm.
        """
        return self.policy_class.from_algorithm(self, team=policy_id)

    @override(Algorithm)
    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what `get_state` gave."""
        # RLlib takes weights for outdated that had fewer updates than those in use.
        self.env_runner_group.foreach_env_runner(_take_any_weights)
        super().set_state(state)

    @override(Algorithm)
    def restore_from_path(self, path: str | Path, *args: Any, **kwargs: Any) -> None:
        """Goes on from a checkpoint as if nothing had happened, except that environments begin new episodes.

        Raises:
            FileNotFoundError: The directory or a part of it is missing.
            ValueError: A file is damaged, or the checkpoint was made with another environment or other sizes.
        """
        path = _absolute(path)
        if _is_local(path) and not kwargs.get("component"):
            check_checkpoint(Path(path), self.config, self.spaces, self._own_components_of)
        self.env_runner_group.foreach_env_runner(_take_any_weights)
        try:
            super().restore_from_path(path, *args, **kwargs)
        except (pickle.UnpicklingError, EOFError) as error:
            raise ValueError(f"A file of the checkpoint {path} is damaged: {error}.") from error

    def _own_components_of(self, saved: Any) -> Iterable[str]:
        """What a checkpoint made with the configuration `saved` must hold beside RLlib's own components."""
        return ()

    @classmethod
    @override(Algorithm)
    def from_checkpoint(cls, path: Any, *args: Any, **kwargs: Any) -> Self:
        """The algorithm that wrote a checkpoint, as it was then.

        Raises:
            FileNotFoundError: The directory or a part of it is missing.
            ValueError: A file is damaged, or the checkpoint is of another algorithm.
        """
        if isinstance(path, str | Path):
            path = _absolute(path)
            if _is_local(path):
                config_from_checkpoint(Path(path), cls.policy_class.algorithm_name)
                check_files(Path(path))
        return super().from_checkpoint(path, *args, **kwargs)


def _take_any_weights(env_runner: Any) -> None:
    """Makes an env runner take the next weights it is given, even if they are older than its own."""
    env_runner._weights_seq_no = 0


def _is_local(path: str) -> bool:
    return "://" not in path


def _absolute(path: str | Path) -> str:
    """RLlib takes relative paths for malformed addresses."""
    return str(Path(path).absolute()) if _is_local(str(path)) else str(path)
