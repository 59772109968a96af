"""How the agents learn from imagined trajectories."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ImaginationOptions:
    """Options of one agent update; the defaults are those of MAMBA on SMAC (Egorov and Shpilman, 2022).

    Attributes:
        horizon: states of an imagined trajectory, the start included: `horizon - 1` imagined actions are learned from.
        gamma: discount of one step, in [0, 1].
        trace_decay: lambda of the returns, in [0, 1]; 1 gives Monte Carlo returns, 0 one-step targets.
        epochs: passes over the imagined rows.
        minibatch_size: rows (all agents at one imagined step) in one gradient step.
        clip: PPO clips the probability ratio to [1 - clip, 1 + clip].
        entropy_decay: factor on the entropy coefficient after every minibatch.
        shared_reward: every agent learns from the mean of the team's imagined rewards; otherwise from its own.
        normalise_advantages: bring advantages to mean 0 and standard deviation 1.
        weigh_by_continuation: every imagined row counts as much as it is probable that the agent is still there.
        target_update: minibatches between two copies of the critic into the target critic, where there is one.

    Raises:
        ValueError: if an option is out of its range.
    """

    horizon: int = 15
    gamma: float = 0.99
    trace_decay: float = 0.95
    epochs: int = 5
    minibatch_size: int = 2000
    clip: float = 0.2
    entropy_decay: float = 0.99998
    shared_reward: bool = True
    normalise_advantages: bool = True
    weigh_by_continuation: bool = False
    target_update: int = 1

    def __post_init__(self) -> None:
        if self.horizon < 2:
            raise ValueError(f"horizon must be at least 2 (a start and one imagined step), got {self.horizon}.")
        for name in ("epochs", "minibatch_size", "target_update"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        for name in ("gamma", "trace_decay", "entropy_decay"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}.")
        if self.clip <= 0.0:
            raise ValueError(f"clip must be positive, got {self.clip}.")
