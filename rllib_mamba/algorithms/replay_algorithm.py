"""What the `Algorithm`s share that learn from a replay: buffers and a schedule of updates, both in the checkpoint."""

from __future__ import annotations

import abc
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.annotations import override
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, LEARNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME

from rllib_mamba.algorithms.overlap import OverlappedSampling
from rllib_mamba.algorithms.schedule import UpdateSchedule
from rllib_mamba.algorithms.team_algorithm import TeamAlgorithm

REPLAY_RESULTS = "replay_buffer"
WEIGHTS_STALENESS = "weights_staleness"
COMPONENT_REPLAY_BUFFER = "replay_buffer"
COMPONENT_SCHEDULE = "update_schedule"
COMPONENT_UPDATES = "num_updates"


class ReplayBuffer(Protocol):
    """What a replay buffer of a team has to offer."""

    def __len__(self) -> int:
        """Env steps stored."""

    @property
    def size_in_bytes(self) -> int:
        """Bytes of all arrays held."""

    def add_episodes(self, episodes: list[MultiAgentEpisode], team: str) -> None:
        """Adds what env runners collected for a team."""

    def sample(self, batch_size: int) -> dict[str, Any]:
        """A batch, each column (B, ...)."""

    def get_state(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """All that is needed to go on."""

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes over what `get_state` gave."""


class ReplayTeamAlgorithm(TeamAlgorithm, abc.ABC):
    """An `Algorithm` whose every trained team learns from a replay buffer of its own.

    An iteration learns from the replay, hands the new weights to the env runners, and acts with them;
    so the returns of an iteration are those of the policy its losses belong to, and a restored run's
    first updates use exactly the replay that was saved.

    With `overlap_acting` the last `max_weights_staleness` cycles of an iteration are made while the env runners act
    with the weights from before them. The cycles are the same, and follow the same experience, as without; nothing is
    under way when an iteration has ended.
    """

    replay_buffers: Mapping[str, Any]
    update_schedule: UpdateSchedule
    #: Updates of each kind (and resets) since the run began, whatever their number per cycle has been.
    num_updates: Counter[str]

    @abc.abstractmethod
    def _make_replay_buffer(self, seed: int | None) -> ReplayBuffer:
        """A team's empty replay buffer."""

    @abc.abstractmethod
    def _make_update_schedule(self) -> UpdateSchedule:
        """When cycles of updates are due."""

    @abc.abstractmethod
    def _replay_is_ready(self) -> bool:
        """Whether every team's replay holds enough for an update."""

    @abc.abstractmethod
    def _learn(self) -> None:
        """One cycle of updates."""

    @abc.abstractmethod
    def _env_steps_of(self, batch: dict[str, Any]) -> int:
        """Env steps in a team's batch, for RLlib's counters."""

    @abc.abstractmethod
    def _learning_progress(self) -> dict[str, float]:
        """Results under `learners` that are not the learners' own: how many updates there were."""

    @abc.abstractmethod
    def _replay_contents(self, buffer: Any) -> dict[str, float]:
        """Results under `replay_buffer/<team>` beside the size in bytes."""

    @override(Algorithm)
    def setup(self, config: Any) -> None:
        """Builds env runners and learners, then a replay buffer for every trained team.

        Raises:
            ValueError: The cluster has less than the run needs.
        """
        super().setup(config)
        seed = self.config.seed
        self.replay_buffers = {
            team: self._make_replay_buffer(None if seed is None else seed + index)
            for index, team in enumerate(self.config.trained_teams)
        }
        self.update_schedule = self._make_update_schedule()
        self.num_updates = Counter()
        self._overlapped_sampling = OverlappedSampling(self.env_runner_group)

    @override(Algorithm)
    def training_step(self) -> None:
        """One iteration: the update cycles that the experience calls for, then new experience; or both at once."""
        overlap = self.config.overlap_acting
        self._learn_what_is_due(but=self.config.max_weights_staleness if overlap else 0)
        self._sync_weights()
        self._store(self._sample_while_learning() if overlap else self._sample())
        self._report()

    def _learn_what_is_due(self, but: int = 0) -> None:
        """The update cycles that the experience calls for, except so many."""
        while self.update_schedule.cycles_due > but and self._replay_is_ready():
            self._learn()
            self.update_schedule.cycle_done()

    def _sample_while_learning(self) -> list[MultiAgentEpisode]:
        cycles_before = self.update_schedule.cycles_done
        self._overlapped_sampling.begin()
        self._learn_what_is_due()
        with self._timed("env_runner_sample"):
            episodes, results = self._overlapped_sampling.finish(self.config.sample_timeout_s)
        self._note_sampled(results)
        staleness = self.update_schedule.cycles_done - cycles_before
        self.metrics.log_value((ENV_RUNNER_RESULTS, WEIGHTS_STALENESS), staleness, reduce="max")
        return episodes

    def _update(self, kind: str, **kwargs: Any) -> None:
        """One update of every trained team; `kwargs` go to the learners' `update`."""
        with self._timed("replay_sample"):
            batch = {
                team: SampleBatch(buffer.sample(self.config.batch_size)) for team, buffer in self.replay_buffers.items()
            }
        env_steps = max(self._env_steps_of(team_batch) for team_batch in batch.values())
        with self._timed(f"{kind}_update"):
            results = self.learner_group.update(
                batch=MultiAgentBatch(batch, env_steps=env_steps),
                timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: self.update_schedule.env_steps},
                **kwargs,
            )
        self.num_updates[kind] += 1
        self.metrics.aggregate(results, key=LEARNER_RESULTS)

    def _store(self, episodes: list[MultiAgentEpisode]) -> None:
        with self._timed("replay_add"):
            for team, buffer in self.replay_buffers.items():
                buffer.add_episodes(episodes, team)
        self.update_schedule.collected(
            env_steps=sum(episode.env_steps() for episode in episodes),
            episodes=sum(episode.is_done for episode in episodes),
        )

    def _report(self) -> None:
        self.metrics.log_dict(self._learning_progress(), key=LEARNER_RESULTS, window=1)
        for team, buffer in self.replay_buffers.items():
            contents = {**self._replay_contents(buffer), "size_in_bytes": buffer.size_in_bytes}
            self.metrics.log_dict(contents, key=(REPLAY_RESULTS, team), window=1)

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
            state[COMPONENT_UPDATES] = dict(self.num_updates)
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
            self.num_updates = Counter(state.get(COMPONENT_UPDATES, {}))
            self.update_schedule.set_state(state[COMPONENT_SCHEDULE])
            if self.update_schedule.env_steps and not any(map(len, self.replay_buffers.values())):
                self.update_schedule.experience_lost()

    @override(TeamAlgorithm)
    def _own_components_of(self, saved: Any) -> Iterable[str]:
        return [name for name, _ in self._buffer_components()] if saved.store_buffer_in_checkpoints else []

    def _buffer_components(self) -> list[tuple[str, ReplayBuffer]]:
        if not self.config.store_buffer_in_checkpoints:
            return []
        return [(f"{COMPONENT_REPLAY_BUFFER}_{team}", buffer) for team, buffer in self.replay_buffers.items()]
