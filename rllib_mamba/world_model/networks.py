"""Feed-forward building blocks."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from rllib_mamba.world_model.features import Features
from rllib_mamba.world_model.linear import Linear, full_precision


class MLP(nn.Sequential):
    """Linear layers with an activation between them."""

    def forward(self, inputs: Features) -> Tensor:
        """(..., first size) to (..., last size)."""
        values: Any = inputs
        for layer, following in pairwise([*self, None]):
            if isinstance(layer, Linear):
                values = layer(values, relu=isinstance(following, nn.ReLU))
            elif not isinstance(layer, nn.ReLU):
                values = layer(values)
        result: Tensor = values
        return result


def mlp(sizes: Sequence[int], activation: type[nn.Module]) -> MLP:
    """Linear layers of the given `sizes` with an activation between them, none after the last."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [Linear(inputs, outputs), activation()]
    return MLP(*layers[:-1])


class ObservationEncoder(nn.Module):
    """Observation (..., O) to embedding (..., H): four linear layers with ReLU between them."""

    def __init__(self, observation_size: int, hidden_size: int) -> None:
        super().__init__()
        self.layers = mlp([observation_size, hidden_size, hidden_size, hidden_size, hidden_size], nn.ReLU)

    def forward(self, observation: Tensor) -> Tensor:
        """Embedding (..., H) of the observations (..., O)."""
        return full_precision(self.layers(observation))


class ObservationDecoder(nn.Module):
    """Features (..., F) to the observation they stand for, by way of a hidden layer that other heads may read."""

    def __init__(self, feature_size: int, hidden_size: int, observation_size: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(mlp([feature_size, hidden_size, hidden_size, hidden_size], nn.ReLU), nn.ReLU())
        self.output = Linear(hidden_size, observation_size)

    def forward(self, features: Features) -> tuple[Tensor, Tensor]:
        """Reconstruction (..., O) and the last hidden layer (..., H)."""
        hidden = self.trunk(features)
        return full_precision(self.output(hidden)), hidden


def initialise_matrices_xavier(module: nn.Module) -> None:
    """Xavier-uniform values for every parameter with two or more dimensions; the others keep their defaults."""
    for parameter in module.parameters():
        if parameter.dim() >= 2:
            nn.init.xavier_uniform_(parameter)


def initialise_matrices_orthogonal(module: nn.Module) -> None:
    """Orthogonal values for every parameter with two or more dimensions; the others keep their defaults."""
    for parameter in module.parameters():
        if parameter.dim() >= 2:
            nn.init.orthogonal_(parameter)
