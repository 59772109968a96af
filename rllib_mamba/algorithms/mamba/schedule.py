"""How many update cycles the collected experience calls for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class UpdateSchedule:
    """Counts update cycles (so many world-model updates, then so many agent updates) against experience.

    With an integer `update_every` one cycle is due per so many env steps, whatever the number of env
    runners; with "episode" one per finished episode, as in the publication. Experience before
    `min_steps_before_learning` calls for no cycle.

    Args:
        update_every: Env steps per cycle (at least 1), or "episode".
        min_steps_before_learning: Env steps collected before the first cycle.
    """

    update_every: int | str
    min_steps_before_learning: int
    env_steps: int = 0
    episodes: int = 0
    cycles_done: int = 0

    def collected(self, env_steps: int, episodes: int) -> None:
        """Counts newly collected env steps and finished episodes."""
        steps_before = self.env_steps
        self.env_steps += env_steps
        if steps_before >= self.min_steps_before_learning:
            self.episodes += episodes

    @property
    def cycles_due(self) -> int:
        """Cycles that the experience collected so far calls for and that are not done yet."""
        if self.env_steps < self.min_steps_before_learning:
            return 0
        if self.update_every == "episode":
            return 1 + self.episodes - self.cycles_done
        assert isinstance(self.update_every, int)
        return 1 + (self.env_steps - self.min_steps_before_learning) // self.update_every - self.cycles_done

    def cycle_done(self) -> None:
        """Counts one cycle as done."""
        self.cycles_done += 1

    def get_state(self) -> dict[str, int]:
        """The counters, for a checkpoint."""
        return {"env_steps": self.env_steps, "episodes": self.episodes, "cycles_done": self.cycles_done}

    def set_state(self, state: dict[str, int]) -> None:
        """Restores the counters of `get_state`."""
        self.env_steps, self.episodes, self.cycles_done = state["env_steps"], state["episodes"], state["cycles_done"]
