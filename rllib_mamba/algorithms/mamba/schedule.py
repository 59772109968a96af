"""How many update cycles the collected experience calls for."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field


@dataclass
class UpdateSchedule:
    """Counts update cycles (so many world-model updates, then so many agent updates) against experience.

    With an integer `update_every` one cycle is due per so many env steps, whatever the number of env
    runners; with "episode" one per finished episode, as in the publication. The first
    `min_steps_before_learning` env steps call for no cycle; then one is due at once.

    Args:
        update_every: Env steps per cycle (at least 1), or "episode".
        min_steps_before_learning: Env steps collected before the first cycle.
    """

    update_every: int | str
    min_steps_before_learning: int
    env_steps: int = field(default=0, init=False)
    cycles_done: int = field(default=0, init=False)
    _waiting_steps: int = field(default=0, init=False)
    _counted_steps: int = field(default=0, init=False)
    _counted_episodes: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._waiting_steps = self.min_steps_before_learning

    def collected(self, env_steps: int, episodes: int) -> None:
        """Counts newly collected env steps and finished episodes."""
        waited = min(self._waiting_steps, env_steps)
        if self._waiting_steps == 0:
            self._counted_episodes += episodes
        self.env_steps += env_steps
        self._counted_steps += env_steps - waited
        self._waiting_steps -= waited

    @property
    def cycles_due(self) -> int:
        """Cycles that the experience collected so far calls for and that are not done yet."""
        if self._waiting_steps > 0:
            return 0
        if self.update_every == "episode":
            return 1 + self._counted_episodes - self.cycles_done
        assert isinstance(self.update_every, int)
        return 1 + self._counted_steps // self.update_every - self.cycles_done

    def cycle_done(self) -> None:
        """Counts one cycle as done."""
        self.cycles_done += 1

    def experience_lost(self) -> None:
        """The replay is empty again: waits for as many env steps as at first, and does not make up for them later."""
        self._waiting_steps = self.min_steps_before_learning

    def get_state(self) -> dict[str, int]:
        """The counters, for a checkpoint."""
        return {name: value for name, value in asdict(self).items() if name not in _OPTIONS}

    def set_state(self, state: dict[str, int]) -> None:
        """Restores the counters of `get_state`."""
        for name, value in state.items():
            setattr(self, name, value)


_OPTIONS = ("update_every", "min_steps_before_learning")
