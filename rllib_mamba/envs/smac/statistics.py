"""Counts of battles over all games of an environment."""

from dataclasses import dataclass

from rllib_mamba.envs.smac.game import Outcome


@dataclass
class BattleStatistics:
    """What SMAC's `get_stats` counts, which starts anew with every game and fails before the first battle is over."""

    battles: int = 0
    won: int = 0
    timed_out: int = 0
    restarts: int = 0

    def count(self, outcome: Outcome) -> None:
        """Counts a battle that is over."""
        self.battles += 1
        self.won += outcome.won
        self.timed_out += outcome.timed_out

    def as_dict(self) -> dict[str, float]:
        """The counts under SMAC's names."""
        return {
            "battles_won": float(self.won),
            "battles_game": float(self.battles),
            "battles_draw": float(self.timed_out),
            "win_rate": self.won / self.battles if self.battles else 0.0,
            "timeouts": float(self.timed_out),
            "restarts": float(self.restarts),
        }
