"""What the world model predicts from an agent's features."""

from torch import Tensor, nn

from rllib_mamba.world_model.features import Features
from rllib_mamba.world_model.linear import Linear, full_precision
from rllib_mamba.world_model.networks import MLP, mlp


class FeatureHead(nn.Module):
    """Features (..., F) to `outputs` numbers: two hidden ELU layers of `hidden_size`."""

    def __init__(self, feature_size: int, hidden_size: int, outputs: int) -> None:
        super().__init__()
        self.layers = mlp([feature_size, hidden_size, hidden_size, outputs], nn.ELU)

    def forward(self, features: Features) -> Tensor:
        """Predictions (..., outputs)."""
        return full_precision(self.layers(features))


class ActionInformationHead(nn.Module):
    """Which action led here, from the decoder's last hidden layer: it keeps the action's traces in the features."""

    def __init__(self, hidden_size: int, num_actions: int) -> None:
        super().__init__()
        self.layers = MLP(
            Linear(hidden_size, hidden_size),
            nn.ELU(),
            Linear(hidden_size, hidden_size),
            nn.ReLU(),
            Linear(hidden_size, num_actions),
        )

    def forward(self, hidden: Tensor) -> Tensor:
        """Logits (..., A) of the previous action from the decoder's hidden layer (..., H)."""
        return full_precision(self.layers(hidden))
