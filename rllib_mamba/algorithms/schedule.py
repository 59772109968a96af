"""How many update cycles the collected experience calls for."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Literal

UpdateUnit = Literal["env_steps", "episodes"]


@dataclass
class UpdateSchedule:
    """Counts update cycles (so many updates of this and that kind) against experience.

    One cycle is due per so many env steps, whatever the number of env runners, or per so many finished
    episodes. The first experience calls for no cycle; then one is due at once.

    Args:
        every: Env steps or finished episodes per cycle; at least 1.
        unit: What `every` counts.
        min_steps_before_learning: Env steps collected before the first cycle.
        min_episodes_before_learning: Episodes finished before the first cycle.
    """

    every: int
    unit: UpdateUnit
    min_steps_before_learning: int = 0
    min_episodes_before_learning: int = 0
    env_steps: int = field(default=0, init=False)
    cycles_done: int = field(default=0, init=False)
    #: Env steps collected when the last cycle was done.
    env_steps_at_last_cycle: int = field(default=0, init=False)
    _waiting_steps: int = field(default=0, init=False)
    _waiting_episodes: int = field(default=0, init=False)
    #: Experience that no cycle has been made for yet.
    _unused_steps: int = field(default=0, init=False)
    _unused_episodes: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.experience_lost()

    def collected(self, env_steps: int, episodes: int) -> None:
        """Counts newly collected env steps and finished episodes."""
        self.env_steps += env_steps
        waited_steps, waited_episodes = min(self._waiting_steps, env_steps), min(self._waiting_episodes, episodes)
        if self._waiting_episodes == 0:
            self._unused_steps += env_steps - waited_steps
        if self._waiting_steps == 0:
            self._unused_episodes += episodes - waited_episodes
        self._waiting_steps -= waited_steps
        self._waiting_episodes -= waited_episodes

    @property
    def cycles_due(self) -> int:
        """Cycles that the experience collected so far calls for and that are not done yet."""
        if self._waiting_steps or self._waiting_episodes:
            return 0
        unused = self._unused_episodes if self.unit == "episodes" else self._unused_steps
        return (self.cycles_done == 0) + unused // self.every

    def cycle_done(self) -> None:
        """Counts one cycle as done."""
        used = self.every if self.cycles_done else 0
        # What the other unit has counted is used up as well, should a checkpoint of this run be gone on from with it.
        if self.unit == "episodes":
            self._unused_steps, self._unused_episodes = 0, self._unused_episodes - used
        else:
            self._unused_steps, self._unused_episodes = self._unused_steps - used, 0
        self.cycles_done += 1
        self.env_steps_at_last_cycle = self.env_steps

    def experience_lost(self) -> None:
        """The replay is empty again: waits for as much as at first, and does not make up for it later."""
        self._waiting_steps = self.min_steps_before_learning
        self._waiting_episodes = self.min_episodes_before_learning

    def get_state(self) -> dict[str, int]:
        """The counters, for a checkpoint."""
        return {name: value for name, value in asdict(self).items() if name not in _OPTIONS}

    def set_state(self, state: dict[str, int]) -> None:
        """Restores the counters of `get_state`; what is asked of experience that follows is this schedule's own."""
        for name, value in state.items():
            setattr(self, name, value)


_OPTIONS = ("every", "unit", "min_steps_before_learning", "min_episodes_before_learning")
