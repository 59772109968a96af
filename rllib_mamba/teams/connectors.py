"""The way from a team's observations to its module and back, in one piece each instead of RLlib's thirteen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
import tree
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.connectors.module_to_env import GetActions
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModule
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode
from ray.rllib.env.single_agent_episode import SingleAgentEpisode

_PLACES = "places_of_teams"
"""In the data that both connectors share: for every module the indices of the environments its rows come from."""


class TeamsToModules(ConnectorV2):
    """Env to module: the last observation of every team that is not over, and its state where the module has one.

    Gives what RLlib's default connectors give for the environment of teams, in which each agent is a team whose module
    bears its name and every team that is not over has an observation.

    Args:
        device: where the module is.
    """

    def __init__(
        self,
        input_observation_space: gym.Space | None = None,
        input_action_space: gym.Space | None = None,
        *,
        device: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(input_observation_space, input_action_space, **kwargs)
        self._device = device
        self._stateful: dict[str, bool] = {}

    def __call__(
        self,
        *,
        rl_module: MultiRLModule,
        batch: dict[str, Any],
        episodes: Sequence[MultiAgentEpisode],
        explore: bool | None = None,
        shared_data: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """By module: `obs` (B, ...), or (B, 1, ...) and `state_in` (B, ...) if it has a state."""
        assert shared_data is not None
        places: dict[str, list[int]] = defaultdict(list)
        acting: dict[str, list[SingleAgentEpisode]] = defaultdict(list)
        for place, episode in enumerate(episodes):
            for team, team_episode in episode.agent_episodes.items():
                if not team_episode.is_done:
                    places[team].append(place)
                    acting[team].append(team_episode)
        shared_data[_PLACES] = dict(places)
        return {team: self._inputs(rl_module[team], team, found) for team, found in acting.items()}

    def _inputs(self, module: Any, team: str, episodes: list[SingleAgentEpisode]) -> dict[str, Any]:
        observations = self._batched([episode.get_observations(-1) for episode in episodes])
        if team not in self._stateful:
            # RLlib's way to find out makes an initial state.
            self._stateful[team] = module.is_stateful()
        if not self._stateful[team]:
            return {Columns.OBS: observations}
        return {
            Columns.OBS: _mapped(lambda values: values.unsqueeze(1), observations),
            Columns.STATE_IN: self._batched([_state(module, episode) for episode in episodes]),
        }

    def _batched(self, items: list[Any]) -> Any:
        return _mapped(lambda *parts: self._tensor(np.array(parts)), *items)

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        # As RLlib, which has modules compute in float32.
        tensor = torch.from_numpy(array)
        return tensor.to(self._device, torch.float32 if tensor.is_floating_point() else None)


class ModulesToTeams(ConnectorV2):
    """Module to env: for every environment the actions and other outputs of each team that acts.

    Actions are drawn as RLlib does where a module gives only their distribution.
    """

    def __init__(
        self,
        input_observation_space: gym.Space | None = None,
        input_action_space: gym.Space | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(input_observation_space, input_action_space, **kwargs)
        self._get_actions = GetActions()

    def __call__(
        self,
        *,
        rl_module: MultiRLModule,
        batch: dict[str, Any],
        episodes: Sequence[MultiAgentEpisode],
        explore: bool | None = None,
        shared_data: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> dict[str, list[dict[str, Any]]]:
        """By column: a dictionary of the teams' values for each environment."""
        assert shared_data is not None
        batch = self._get_actions(rl_module=rl_module, batch=batch, episodes=episodes, explore=explore)
        columns: dict[str, list[dict[str, Any]]] = {}
        for team, outputs in batch.items():
            places = shared_data[_PLACES][team]
            has_time = Columns.STATE_OUT in outputs
            for column, values in outputs.items():
                found = columns.setdefault(column, [{} for _ in episodes])
                arrays = _mapped(_as_numpy, values)
                if has_time and column != Columns.STATE_OUT:
                    arrays = _mapped(lambda array: array[:, 0], arrays)
                for row, place in enumerate(places):
                    found[place][team] = _mapped(lambda array, row=row: array[row], arrays)
        return columns


def _state(module: Any, episode: SingleAgentEpisode) -> Any:
    begins = episode.t_started == 0 and len(episode) == 0
    if begins or Columns.STATE_OUT not in episode.extra_model_outputs:
        return _mapped(_as_numpy, module.get_initial_state())
    return episode.get_extra_model_outputs(key=Columns.STATE_OUT, indices=-1)


def _mapped(function: Callable[..., Any], *items: Any) -> Any:
    # For dictionaries, which these are, several times as fast.
    if type(items[0]) is dict:
        return {key: _mapped(function, *(item[key] for item in items)) for key in items[0]}
    return tree.map_structure(function, *items)


def _as_numpy(values: Any) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
