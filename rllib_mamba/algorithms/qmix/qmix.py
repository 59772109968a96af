"""QMIX as an RLlib `Algorithm`."""

from __future__ import annotations

from typing import Any

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.utils.annotations import override
from ray.rllib.utils.schedules.scheduler import Scheduler

from rllib_mamba.algorithms.qmix.config import QMIXConfig
from rllib_mamba.algorithms.qmix.policy import QMIXPolicy
from rllib_mamba.algorithms.qmix.shared_reward import check_rewards
from rllib_mamba.algorithms.replay_algorithm import ReplayTeamAlgorithm
from rllib_mamba.algorithms.schedule import UpdateSchedule
from rllib_mamba.replay import TeamEpisodeReplayBuffer
from rllib_mamba.replay.team_episode_replay_buffer import FILLED

VALUE_UPDATE = "learner"


class QMIX(ReplayTeamAlgorithm):
    """Monotonic value function factorisation (Rashid et al., ICML 2018, arXiv 1803.11485), with its relatives.

    `mixer="vdn"` adds the agents' values, `mixer=None` lets each agent learn for itself.

    See `ReplayTeamAlgorithm` for what an iteration is.
    """

    policy_class = QMIXPolicy
    config: QMIXConfig
    replay_buffers: dict[str, TeamEpisodeReplayBuffer]

    @classmethod
    @override(Algorithm)
    def get_default_config(cls) -> QMIXConfig:
        """The configuration with its default options."""
        return QMIXConfig(algo_class=cls)

    @override(ReplayTeamAlgorithm)
    def _make_replay_buffer(self, seed: int | None) -> TeamEpisodeReplayBuffer:
        return TeamEpisodeReplayBuffer(
            capacity_episodes=self.config.replay_buffer_capacity_episodes,
            capacity_env_steps=self.config.replay_buffer_capacity_env_steps,
            observation_dtype=self.config.replay_observation_dtype,
            seed=seed,
        )

    @override(ReplayTeamAlgorithm)
    def _make_update_schedule(self) -> UpdateSchedule:
        return UpdateSchedule(
            self.config.update_every,
            self.config.update_every_unit,
            min_steps_before_learning=self.config.min_steps_before_learning,
            min_episodes_before_learning=self.config.batch_size,
        )

    @override(ReplayTeamAlgorithm)
    def _replay_is_ready(self) -> bool:
        return all(buffer.can_sample(self.config.batch_size) for buffer in self.replay_buffers.values())

    @override(ReplayTeamAlgorithm)
    def _learn(self) -> None:
        if self.update_schedule.cycles_done == 0:
            for team, buffer in self.replay_buffers.items():
                check_rewards(buffer, team, self.config.team_reward)
        for _ in range(self.config.updates_per_cycle):
            self._update(VALUE_UPDATE)

    @override(ReplayTeamAlgorithm)
    def _env_steps_of(self, batch: dict[str, Any]) -> int:
        return int(batch[FILLED].sum())

    @override(ReplayTeamAlgorithm)
    def _learning_progress(self) -> dict[str, float]:
        schedule = self.update_schedule
        updates = self.num_updates[VALUE_UPDATE]
        epsilon = Scheduler(fixed_value_or_schedule=self.config.epsilon)
        return {
            "num_value_updates_lifetime": updates,
            "value_updates_per_env_step": updates / max(1, schedule.env_steps),
            "epsilon": float(epsilon.update(schedule.env_steps)),
        }

    @override(ReplayTeamAlgorithm)
    def _replay_contents(self, buffer: TeamEpisodeReplayBuffer) -> dict[str, float]:
        return {
            "num_env_steps": len(buffer),
            "num_episodes": buffer.num_episodes,
            "fill": buffer.num_episodes / self.config.replay_buffer_capacity_episodes,
        }
