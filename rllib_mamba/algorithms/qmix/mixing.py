"""From the values of the agents' actions to the value of the team's: torch only."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class MonotonicMixer(nn.Module):
    """The value of a team, which never falls as the value of one of its agents rises.

    Two layers whose weights are absolute values, made by hypernetworks from the global state. The agents' best actions,
    each on its own, are therefore the team's best. Source: Rashid et al., 2018 (arXiv 1803.11485), section 4 and
    appendix C.

    Args:
        num_agents: N.
        state_size: S.
        embedding_size: Width of the mixing network's hidden layer.
        hypernetwork_hidden_size: Width of the hidden layer of the hypernetworks that make weights; None for linear
            ones, as in the first version of the publication.
        normalize_state: Whether the numbers of a state are shifted and scaled to mean 0 and deviation 1 (layer
            normalisation; Ba et al., 2016, arXiv 1607.06450). Where there are one or two it would leave nothing of
            them: they stay as they are.
    """

    def __init__(
        self,
        num_agents: int,
        state_size: int,
        embedding_size: int,
        hypernetwork_hidden_size: int | None,
        normalize_state: bool = False,
    ) -> None:
        super().__init__()
        self.num_agents = num_agents
        self.embedding_size = embedding_size
        self.state_encoder: nn.Module = nn.Identity()
        if normalize_state and state_size > 2:
            self.state_encoder = nn.LayerNorm(state_size, elementwise_affine=False)
        self.hidden_weights = _hypernetwork(state_size, hypernetwork_hidden_size, num_agents * embedding_size)
        self.hidden_bias = nn.Linear(state_size, embedding_size)
        self.output_weights = _hypernetwork(state_size, hypernetwork_hidden_size, embedding_size)
        self.output_bias = _hypernetwork(state_size, embedding_size, 1)

    def forward(self, values: Tensor, state: Tensor) -> Tensor:
        """Mixes the agents' values (..., N) in the global state (..., S) to the team's (...)."""
        state = self.state_encoder(state)
        hidden_weights = self.hidden_weights(state).abs().unflatten(-1, (self.num_agents, self.embedding_size))
        hidden = functional.elu((values.unsqueeze(-2) @ hidden_weights).squeeze(-2) + self.hidden_bias(state))
        output_weights = self.output_weights(state).abs()
        return (hidden * output_weights).sum(dim=-1) + self.output_bias(state).squeeze(-1)


class AdditiveMixer(nn.Module):
    """The value of a team as the sum of its agents' (VDN; Sunehag et al., 2018, arXiv 1706.05296)."""

    def forward(self, values: Tensor, state: Tensor) -> Tensor:
        """Adds the agents' values (..., N) to the team's (...), whatever the state."""
        return values.sum(dim=-1)


def _hypernetwork(state_size: int, hidden_size: int | None, output_size: int) -> nn.Module:
    if hidden_size is None:
        return nn.Linear(state_size, output_size)
    return nn.Sequential(nn.Linear(state_size, hidden_size), nn.ReLU(), nn.Linear(hidden_size, output_size))
