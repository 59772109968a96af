"""Sizes and switches of the world model."""

from dataclasses import dataclass


@dataclass(frozen=True)
class WorldModelConfig:
    """Everything needed to build a `WorldModel`; plain numbers, so it can be written as JSON.

    The defaults are those of MAMBA on SMAC (Egorov and Shpilman, 2022).

    Attributes:
        observation_size: length O of one agent's observation vector.
        num_actions: number A of discrete actions of one agent.
        hidden_size: width H of every hidden layer, of the messages and of the encoder's output.
        deterministic_size: size D of the recurrent state h.
        num_categoricals: number C of categorical variables in the stochastic state z.
        num_classes: classes K of each of them; z has S = C * K entries.
        communication: False leaves every agent alone with its own message (an ablation).
        communication_layers: attention layers over the team in the transition.
        communication_heads: attention heads; must divide `hidden_size`.
        communication_dropout: dropout probability in those layers, in training mode only.
        predict_action_mask: learn which actions are legal, so that imagination can mask them.
        normalize_observations: read and reconstruct every observed feature in units of its running deviation.

    Raises:
        ValueError: if a size is not positive, the heads do not divide the hidden size, or the dropout is not in [0, 1).
    """

    observation_size: int
    num_actions: int
    hidden_size: int = 256
    deterministic_size: int = 256
    num_categoricals: int = 32
    num_classes: int = 32
    communication: bool = True
    communication_layers: int = 3
    communication_heads: int = 8
    communication_dropout: float = 0.1
    predict_action_mask: bool = False
    normalize_observations: bool = False

    def __post_init__(self) -> None:
        for name in (
            "observation_size",
            "num_actions",
            "hidden_size",
            "deterministic_size",
            "num_categoricals",
            "num_classes",
            "communication_layers",
            "communication_heads",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        check_heads(self.hidden_size, self.communication_heads)
        if not 0.0 <= self.communication_dropout < 1.0:
            raise ValueError(f"communication_dropout must lie in [0, 1), got {self.communication_dropout}.")

    @property
    def stochastic_size(self) -> int:
        """S = C * K."""
        return self.num_categoricals * self.num_classes

    @property
    def feature_size(self) -> int:
        """Size of the features [z, h] that heads, actor and critic read."""
        return self.stochastic_size + self.deterministic_size


def check_heads(size: int, num_heads: int) -> None:
    """Raise ValueError unless `num_heads` attention heads divide a layer of `size` units."""
    if size % num_heads:
        raise ValueError(
            f"{num_heads} attention heads do not divide the hidden size {size}: "
            "choose a hidden size that is a multiple of the number of heads."
        )
