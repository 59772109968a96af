"""MAMBA as an RLlib `Algorithm`."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, Self

import ray
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.execution.rollout_ops import synchronous_parallel_sample
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.annotations import override
from ray.rllib.utils.metrics import (
    ENV_RUNNER_RESULTS,
    LEARNER_RESULTS,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    SYNCH_WORKER_WEIGHTS_TIMER,
    TIMERS,
)
from ray.tune.execution.placement_groups import PlacementGroupFactory

from rllib_mamba.algorithms.mamba.checkpoints import config_from_checkpoint
from rllib_mamba.algorithms.mamba.config import MAMBAConfig
from rllib_mamba.algorithms.mamba.learner import AGENT_PHASE, WORLD_MODEL_PHASE
from rllib_mamba.algorithms.mamba.policy import MAMBAPolicy
from rllib_mamba.algorithms.mamba.restoring import check_checkpoint, check_files
from rllib_mamba.algorithms.mamba.schedule import UpdateSchedule
from rllib_mamba.algorithms.resources import require_local_gpu, require_resources
from rllib_mamba.replay import TeamReplayBuffer
from rllib_mamba.teams.env_runner import raise_data_errors

REPLAY_RESULTS = "replay_buffer"
COMPONENT_REPLAY_BUFFER = "replay_buffer"
COMPONENT_SCHEDULE = "update_schedule"


class MAMBA(Algorithm):
    """Scalable multi-agent model-based reinforcement learning (Egorov and Shpilman, AAMAS 2022, arXiv 2205.15023).

    An iteration learns from the replay, hands the new weights to the env runners, and acts with them;
    so the returns of an iteration are those of the policy its losses belong to, and a restored run's
    first updates use exactly the replay that was saved.
    """

    #: What a trained team acts with where there is no cluster.
    policy_class = MAMBAPolicy

    @classmethod
    @override(Algorithm)
    def get_default_config(cls) -> MAMBAConfig:
        """The configuration with its default options."""
        return MAMBAConfig(algo_class=cls)

    @override(Algorithm)
    def setup(self, config: MAMBAConfig) -> None:
        """Builds env runners and learners as RLlib does, then a replay buffer for every trained team.

        Raises:
            ValueError: The cluster has less than the run needs.
        """
        # Within a trial of Tune everything is reserved already.
        if ray.util.get_current_placement_group() is None:
            require_local_gpu(config)
            # The main process is this one.
            require_resources(config, type(self).resource_request(config.copy(copy_frozen=False)).bundles[1:])
        super().setup(config)
        seed = self.config.seed
        self.replay_buffers: dict[str, TeamReplayBuffer] = {
            team: TeamReplayBuffer(
                capacity=self.config.replay_buffer_capacity,
                sequence_length=self.config.sequence_length,
                absorbing_steps=self.config.absorbing_steps,
                observation_dtype=self.config.replay_observation_dtype,
                seed=None if seed is None else seed + index,
            )
            for index, team in enumerate(self.config.trained_teams)
        }
        self.update_schedule = UpdateSchedule(self.config.update_every, self.config.min_steps_before_learning)

    @classmethod
    def resource_request(cls, config: MAMBAConfig | dict[str, Any]) -> PlacementGroupFactory:
        """What the processes of a run ask for, whether or not a cluster has it; the main process first."""
        return super().default_resource_request(config)

    @classmethod
    @override(Algorithm)
    def default_resource_request(cls, config: MAMBAConfig | dict[str, Any]) -> PlacementGroupFactory:
        """What Tune reserves for a trial.

        Raises:
            ValueError: The cluster has less than that; Tune would wait for ever.
        """
        request = cls.resource_request(config)
        if ray.is_initialized():
            require_resources(cls.get_default_config().update_from_dict(config), request.bundles)
        return request

    @override(Algorithm)
    def training_step(self) -> None:
        """One iteration: the update cycles that the experience calls for, then new experience."""
        while self.update_schedule.cycles_due > 0 and self._replay_is_ready():
            for _ in range(self.config.world_model_updates):
                self._update(WORLD_MODEL_PHASE)
            for _ in range(self.config.agent_updates):
                self._update(AGENT_PHASE)
            self.update_schedule.cycle_done()
        self._sync_weights()
        self._collect()
        self._report()

    def _replay_is_ready(self) -> bool:
        return bool(self.replay_buffers) and all(buffer.can_sample() for buffer in self.replay_buffers.values())

    def _update(self, phase: str) -> None:
        with self._timed("replay_sample"):
            batch = {
                team: SampleBatch(buffer.sample(self.config.batch_size)) for team, buffer in self.replay_buffers.items()
            }
        with self._timed(f"{phase}_update"):
            results = self.learner_group.update(
                batch=MultiAgentBatch(batch, env_steps=self.config.batch_size * self.config.sequence_length),
                timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: self.update_schedule.env_steps},
                phase=phase,
            )
        self.metrics.aggregate(results, key=LEARNER_RESULTS)

    def _timed(self, phase: str) -> Any:
        """Logs the seconds that a phase takes in an iteration, its calls together."""
        return self.metrics.log_time((TIMERS, phase), reduce="sum")

    def _sync_weights(self) -> None:
        with self._timed(SYNCH_WORKER_WEIGHTS_TIMER):
            self.env_runner_group.sync_weights(
                from_worker_or_learner_group=self.learner_group,
                policies=list(self.replay_buffers),
                inference_only=True,
            )

    def _collect(self) -> None:
        with self._timed("env_runner_sample"):
            episodes, results = synchronous_parallel_sample(
                worker_set=self.env_runner_group,
                sample_timeout_s=self.config.sample_timeout_s,
                _uses_new_env_runners=True,
                _return_metrics=True,
            )
        # Not at the end of an iteration only: it ends when enough has been sampled.
        raise_data_errors(self.env_runner_group)
        self.metrics.aggregate(results, key=ENV_RUNNER_RESULTS)
        with self._timed("replay_add"):
            for team, buffer in self.replay_buffers.items():
                buffer.add_episodes(episodes, team)
        self.update_schedule.collected(
            env_steps=sum(episode.env_steps() for episode in episodes),
            episodes=sum(episode.is_done for episode in episodes),
        )

    def _report(self) -> None:
        schedule = self.update_schedule
        world_model_updates = schedule.cycles_done * self.config.world_model_updates
        agent_updates = schedule.cycles_done * self.config.agent_updates
        env_steps = max(1, schedule.env_steps)
        self.metrics.log_dict(
            {
                "num_world_model_updates_lifetime": world_model_updates,
                "num_agent_updates_lifetime": agent_updates,
                "world_model_updates_per_env_step": world_model_updates / env_steps,
                "agent_updates_per_env_step": agent_updates / env_steps,
            },
            key=LEARNER_RESULTS,
            window=1,
        )
        for team, buffer in self.replay_buffers.items():
            self.metrics.log_dict(
                {
                    "num_env_steps": len(buffer),
                    "fill": len(buffer) / self.config.replay_buffer_capacity,
                    "size_in_bytes": buffer.size_in_bytes,
                },
                key=(REPLAY_RESULTS, team),
                window=1,
            )

    @override(Algorithm)
    def get_policy(self, policy_id: str | None = None) -> Any:
        """The trained team as a `MAMBAPolicy` that needs no cluster.

        Args:
            policy_id: The team, named as its module; may be left out where there is one team only.

        Raises:
            ValueError: There is no such team, or it has no MAMBA module.
        """
        return MAMBAPolicy.from_algorithm(self, team=policy_id)

    @override(Algorithm)
    def get_checkpointable_components(self) -> list[tuple[str, Any]]:
        """RLlib's components and, unless `store_buffer_in_checkpoints=False`, each team's replay buffer."""
        return [*super().get_checkpointable_components(), *self._buffer_components()]

    @override(Algorithm)
    def get_state(
        self,
        components: str | list[str] | None = None,
        *,
        not_components: str | list[str] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """RLlib's state, the update schedule's counters and the replay buffers."""
        state = super().get_state(components, not_components=not_components, **kwargs)
        if self._check_component(COMPONENT_SCHEDULE, components, not_components):
            state[COMPONENT_SCHEDULE] = self.update_schedule.get_state()
        for name, buffer in self._buffer_components():
            if self._check_component(name, components, not_components):
                state[name] = buffer.get_state()
        return state

    @override(Algorithm)
    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what `get_state` gave."""
        # RLlib takes weights for outdated that had fewer updates than those in use.
        self.env_runner_group.foreach_env_runner(_take_any_weights)
        super().set_state(state)
        for name, buffer in self._buffer_components():
            if name in state:
                buffer.set_state(state[name])
        if COMPONENT_SCHEDULE in state:
            self.update_schedule.set_state(state[COMPONENT_SCHEDULE])
            if self.update_schedule.env_steps and not any(map(len, self.replay_buffers.values())):
                self.update_schedule.experience_lost()

    @override(Algorithm)
    def restore_from_path(self, path: str | Path, *args: Any, **kwargs: Any) -> None:
        """Goes on from a checkpoint as if nothing had happened, except that environments begin new episodes.

        Raises:
            FileNotFoundError: The directory or a part of it is missing.
            ValueError: A file is damaged, or the checkpoint was made with another environment or other sizes.
        """
        path = _absolute(path)
        if _is_local(path) and not kwargs.get("component"):
            check_checkpoint(Path(path), self.config, self.spaces, [name for name, _ in self._buffer_components()])
        self.env_runner_group.foreach_env_runner(_take_any_weights)
        try:
            super().restore_from_path(path, *args, **kwargs)
        except (pickle.UnpicklingError, EOFError) as error:
            raise ValueError(f"A file of the checkpoint {path} is damaged: {error}.") from error

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
                config_from_checkpoint(Path(path))
                check_files(Path(path))
        return super().from_checkpoint(path, *args, **kwargs)

    def _buffer_components(self) -> list[tuple[str, TeamReplayBuffer]]:
        if not self.config.store_buffer_in_checkpoints:
            return []
        return [(f"{COMPONENT_REPLAY_BUFFER}_{team}", buffer) for team, buffer in self.replay_buffers.items()]


def _take_any_weights(env_runner: Any) -> None:
    """Makes an env runner take the next weights it is given, even if they are older than its own."""
    env_runner._weights_seq_no = 0


def _is_local(path: str) -> bool:
    return "://" not in path


def _absolute(path: str | Path) -> str:
    """RLlib takes relative paths for malformed addresses."""
    return str(Path(path).absolute()) if _is_local(str(path)) else str(path)
