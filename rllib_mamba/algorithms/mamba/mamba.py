"""MAMBA as an RLlib `Algorithm`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.annotations import override
from ray.rllib.utils.metrics import LEARNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME

from rllib_mamba.algorithms.mamba.config import MAMBAConfig
from rllib_mamba.algorithms.mamba.learner import AGENT_PHASE, WORLD_MODEL_PHASE
from rllib_mamba.algorithms.mamba.policy import MAMBAPolicy
from rllib_mamba.algorithms.mamba.schedule import UpdateSchedule
from rllib_mamba.algorithms.team_algorithm import TeamAlgorithm
from rllib_mamba.replay import TeamReplayBuffer

REPLAY_RESULTS = "replay_buffer"
COMPONENT_REPLAY_BUFFER = "replay_buffer"
COMPONENT_SCHEDULE = "update_schedule"


class MAMBA(TeamAlgorithm):
    """Scalable multi-agent model-based reinforcement learning (Egorov and Shpilman, AAMAS 2022, arXiv 2205.15023).

    An iteration learns from the replay, hands the new weights to the env runners, and acts with them;
    so the returns of an iteration are those of the policy its losses belong to, and a restored run's
    first updates use exactly the replay that was saved.
    """

    policy_class = MAMBAPolicy
    config: MAMBAConfig

    @classmethod
    @override(Algorithm)
    def get_default_config(cls) -> MAMBAConfig:
        """The configuration with its default options."""
        return MAMBAConfig(algo_class=cls)

    @override(Algorithm)
    def setup(self, config: MAMBAConfig) -> None:
        """Builds env runners and learners, then a replay buffer for every trained team.

        Raises:
            ValueError: The cluster has less than the run needs.
        """
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

    def _collect(self) -> None:
        episodes = self._sample()
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
        super().set_state(state)
        for name, buffer in self._buffer_components():
            if name in state:
                buffer.set_state(state[name])
        if COMPONENT_SCHEDULE in state:
            self.update_schedule.set_state(state[COMPONENT_SCHEDULE])
            if self.update_schedule.env_steps and not any(map(len, self.replay_buffers.values())):
                self.update_schedule.experience_lost()

    @override(TeamAlgorithm)
    def _own_components_of(self, saved: MAMBAConfig) -> Iterable[str]:
        return [name for name, _ in self._buffer_components()] if saved.store_buffer_in_checkpoints else []

    def _buffer_components(self) -> list[tuple[str, TeamReplayBuffer]]:
        if not self.config.store_buffer_in_checkpoints:
            return []
        return [(f"{COMPONENT_REPLAY_BUFFER}_{team}", buffer) for team, buffer in self.replay_buffers.items()]
