"""MAMBA as an RLlib `Algorithm`."""

from __future__ import annotations

from typing import Any

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.utils.annotations import override

from rllib_mamba.algorithms.mamba.config import MAMBAConfig
from rllib_mamba.algorithms.mamba.learner import AGENT_PHASE, WORLD_MODEL_PHASE, MAMBALearner
from rllib_mamba.algorithms.mamba.policy import MAMBAPolicy
from rllib_mamba.algorithms.replay_algorithm import ReplayTeamAlgorithm
from rllib_mamba.algorithms.schedule import UpdateSchedule
from rllib_mamba.replay import TeamReplayBuffer

_AGENT_RESET = "agent_reset"


class MAMBA(ReplayTeamAlgorithm):
    """Scalable multi-agent model-based reinforcement learning (Egorov and Shpilman, AAMAS 2022, arXiv 2205.15023).

    See `ReplayTeamAlgorithm` for what an iteration is.
    """

    policy_class = MAMBAPolicy
    config: MAMBAConfig
    replay_buffers: dict[str, TeamReplayBuffer]

    @classmethod
    @override(Algorithm)
    def get_default_config(cls) -> MAMBAConfig:
        """The configuration with its default options."""
        return MAMBAConfig(algo_class=cls)

    @override(ReplayTeamAlgorithm)
    def _make_replay_buffer(self, seed: int | None) -> TeamReplayBuffer:
        return TeamReplayBuffer(
            capacity=self.config.replay_buffer_capacity,
            sequence_length=self.config.sequence_length,
            absorbing_steps=self.config.absorbing_steps,
            observation_dtype=self.config.replay_observation_dtype,
            seed=seed,
        )

    @override(ReplayTeamAlgorithm)
    def _make_update_schedule(self) -> UpdateSchedule:
        every, waiting = self.config.update_every, self.config.min_steps_before_learning
        if isinstance(every, str):
            return UpdateSchedule(1, "episodes", waiting)
        return UpdateSchedule(every, "env_steps", waiting)

    @override(ReplayTeamAlgorithm)
    def _replay_is_ready(self) -> bool:
        return all(buffer.can_sample() for buffer in self.replay_buffers.values())

    @override(ReplayTeamAlgorithm)
    def _learn(self) -> None:
        for _ in range(self.config.world_model_updates):
            self._update(WORLD_MODEL_PHASE, phase=WORLD_MODEL_PHASE)
        for _ in range(self.config.agent_updates + self._reset_agents_if_due()):
            self._update(AGENT_PHASE, phase=AGENT_PHASE)

    def _reset_agents_if_due(self) -> int:
        """Lets actors and critics begin anew if it is time to; returns the agent updates to add for it."""
        before, now = self.update_schedule.env_steps_at_last_cycle, self.update_schedule.env_steps
        if not any(before < step <= now for step in self.config.agent_reset_steps):
            return 0
        self.learner_group.foreach_learner(MAMBALearner.reset_agents)
        self.num_updates[_AGENT_RESET] += 1
        return self.config.agent_updates_after_reset

    @override(ReplayTeamAlgorithm)
    def _env_steps_of(self, batch: dict[str, Any]) -> int:
        return self.config.batch_size * self.config.sequence_length

    @override(ReplayTeamAlgorithm)
    def _learning_progress(self) -> dict[str, float]:
        world_model_updates, agent_updates = self.num_updates[WORLD_MODEL_PHASE], self.num_updates[AGENT_PHASE]
        env_steps = max(1, self.update_schedule.env_steps)
        return {
            "num_world_model_updates_lifetime": world_model_updates,
            "num_agent_updates_lifetime": agent_updates,
            "world_model_updates_per_env_step": world_model_updates / env_steps,
            "agent_updates_per_env_step": agent_updates / env_steps,
            "num_agent_resets_lifetime": self.num_updates[_AGENT_RESET],
        }

    @override(ReplayTeamAlgorithm)
    def _replay_contents(self, buffer: TeamReplayBuffer) -> dict[str, float]:
        return {"num_env_steps": len(buffer), "fill": len(buffer) / self.config.replay_buffer_capacity}
