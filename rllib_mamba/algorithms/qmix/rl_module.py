"""The RLlib module of a QMIX team: the agents' network and the mixer, and their targets in a learner."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.utils import make_target_network
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI, TargetNetworkAPI
from ray.rllib.core.rl_module.rl_module import RLModule
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from ray.rllib.utils.annotations import override
from ray.rllib.utils.schedules.scheduler import Scheduler
from torch import Tensor, nn

from rllib_mamba.algorithms.qmix.acting import (
    NO_OP,
    AgentNetwork,
    AgentNetworkConfig,
    TeamState,
    best_actions,
    legal_actions,
)
from rllib_mamba.algorithms.qmix.mixing import AdditiveMixer, MonotonicMixer
from rllib_mamba.replay import layout
from rllib_mamba.teams import columns

ACTION_VALUES = "action_values"
"""(B, T + 1, N, A): values of all actions."""
VALUE = "value"
"""(B, T + 1), of the team's joint actions; (B, T + 1, N) where nothing mixes the agents' values."""
BEST_ACTIONS = "best_actions"
"""(B, T + 1, N) int64: the actions whose values `forward_target` gives; its own best where there are none."""


class QMIXRLModule(TorchRLModule, InferenceOnlyAPI, TargetNetworkAPI):
    """Values and chooses the actions of all agents of a team, and the team's value by mixing theirs.

    Observation space: the team observation of `TeamEnv`. Action space: `MultiDiscrete([A] * N)`.
    It emits legal `Columns.ACTIONS` (B, T, N) itself; when it explores, with the epsilon of the env steps sampled so
    far. Its recurrent state is a `TeamState`. In training it takes whole episodes as `TeamEpisodeReplayBuffer` gives
    them.
    """

    networks: AgentNetwork
    mixer: nn.Module | None

    @override(RLModule)
    def setup(self) -> None:
        options, space = self.model_config, self.observation_space
        self.num_agents, observation_size = _shape(space[columns.OBS])
        self.epsilon_schedule = Scheduler(fixed_value_or_schedule=options["epsilon"], framework=self.framework)
        self.networks = AgentNetwork(
            AgentNetworkConfig(
                observation_size=observation_size,
                num_agents=self.num_agents,
                num_actions=int(self.action_space.nvec.max()),
                hidden_size=options["hidden_size"],
                last_action_input=options["last_action_input"],
                agent_id_input=options["agent_id_input"],
                epsilon=_last_value(options["epsilon"]),
            )
        )
        self.mixer = None
        if options["mixer"] == "qmix":
            state_size = self.num_agents * observation_size
            if columns.STATE in space.spaces:
                (state_size,) = _shape(space[columns.STATE])
            self.mixer = MonotonicMixer(
                self.num_agents,
                state_size,
                options["mixing_embedding_size"],
                options["hypernetwork_hidden_size"],
                options["normalize_state"],
            )
        elif options["mixer"] == "vdn":
            self.mixer = AdditiveMixer()

    @property
    def trained_networks(self) -> nn.ModuleList:
        """What a learner's optimizer moves: the agents' network and, if there is one, the mixer."""
        return nn.ModuleList([self.networks, *([] if self.mixer is None else [self.mixer])])

    # ------------------------------------------------------------------ acting

    @override(InferenceOnlyAPI)
    def get_non_inference_attributes(self) -> list[str]:
        """What training needs and acting does not."""
        return ["mixer", "_target_networks", "_target_mixer"]

    @override(RLModule)
    def get_initial_state(self) -> dict[str, np.ndarray]:
        """The state before an episode's first step, without a batch dimension."""
        state = self.networks.initial_state((), self.num_agents)
        return {name: part.numpy() for name, part in state._asdict().items()}

    @override(TorchRLModule)
    def _forward_inference(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return self._act(batch, epsilon=0.0)

    @override(TorchRLModule)
    def _forward_exploration(self, batch: dict[str, Any], t: int = 0, **kwargs: Any) -> dict[str, Any]:
        return self._act(batch, epsilon=float(self.epsilon_schedule.update(t)))

    @torch.no_grad()
    def _act(self, batch: dict[str, Any], epsilon: float) -> dict[str, Any]:
        observation = batch[Columns.OBS]
        state = TeamState(**batch[Columns.STATE_IN])
        actions = []
        for step in range(observation[columns.OBS].shape[1]):
            now = {key: value[:, step] for key, value in observation.items()}
            action, state = self.networks.act(now, state, greedy=epsilon == 0, epsilon=epsilon)
            actions.append(action)
        return {Columns.ACTIONS: torch.stack(actions, dim=1), Columns.STATE_OUT: state._asdict()}

    # ------------------------------------------------------------------ learning

    @override(TorchRLModule)
    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Tensor]:
        values = self._action_values(self.networks, batch)
        return {ACTION_VALUES: values, VALUE: self._mixed(self.mixer, values, taken_actions(batch), batch)}

    @override(TargetNetworkAPI)
    def make_target_networks(self) -> None:
        """Makes the copies that targets are computed with."""
        self._target_networks = make_target_network(self.networks)
        self._target_mixer = None if self.mixer is None else make_target_network(self.mixer)

    @override(TargetNetworkAPI)
    def get_target_network_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """(network, its target), of the agents' network and, if there is one, of the mixer."""
        pairs: list[tuple[nn.Module, nn.Module]] = [(self.networks, self._target_networks)]
        if self.mixer is not None and self._target_mixer is not None:
            pairs.append((self.mixer, self._target_mixer))
        return pairs

    @override(TargetNetworkAPI)
    def forward_target(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """`VALUE` by the target networks, of `BEST_ACTIONS` if `batch` has them, else of those they think best."""
        values = self._action_values(self._target_networks, batch)
        actions = batch.get(BEST_ACTIONS)
        if actions is None:
            actions = best_actions(values, self.legal_actions(batch))
        return {VALUE: self._mixed(self._target_mixer, values, actions, batch)}

    def legal_actions(self, batch: dict[str, Any]) -> Tensor:
        """Which actions count at each step of the episodes, (B, T + 1, N, A) bool."""
        return legal_actions(batch[layout.ALIVE], batch.get(layout.ACTION_MASK), self.networks.config.num_actions)

    def _action_values(self, networks: AgentNetwork, batch: dict[str, Any]) -> Tensor:
        observation = batch[layout.OBSERVATION]
        taken = taken_actions(batch)
        previous = torch.cat([torch.full_like(taken[:, :1], -1), taken[:, :-1]], dim=1)
        hidden = observation.new_zeros((len(observation), self.num_agents, networks.config.hidden_size))
        values, _ = networks(observation, previous, hidden)
        return values

    def _mixed(self, mixer: nn.Module | None, values: Tensor, actions: Tensor, batch: dict[str, Any]) -> Tensor:
        """The value of joint actions (B, T + 1, N), mixed if there is a mixer."""
        chosen = values.gather(-1, actions.unsqueeze(-1)).squeeze(-1)
        if mixer is None:
            return chosen
        terminated = batch[layout.TERMINATED]
        ended = torch.cat([torch.zeros_like(terminated[:, :1]), terminated[:, :-1]], dim=1)
        state = batch.get(layout.STATE)
        if state is None:
            state = batch[layout.OBSERVATION].flatten(start_dim=-2)
        # An agent that has ended adds nothing; one that waits does: its value is what it will do later.
        return mixer(chosen * ~ended, state)


def taken_actions(batch: dict[str, Any]) -> Tensor:
    """The actions of the episodes, (B, T + 1, N) int64; `NO_OP` of agents that did not act."""
    return torch.where(batch[layout.ALIVE], batch[layout.ACTION], NO_OP)


def _last_value(schedule: Any) -> float:
    return float(schedule[-1][1] if isinstance(schedule, list | tuple) else schedule)


def _shape(space: gym.Space) -> tuple[int, ...]:
    assert space.shape is not None
    return space.shape
