"""`FlatlandEnv`: trains on a random rail map as an RLlib multi-agent environment."""

from collections.abc import Iterable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from rllib_mamba.envs.flatland.communication import EncounterMemory
from rllib_mamba.envs.flatland.deadlocks import find_deadlocks
from rllib_mamba.envs.flatland.decisions import (
    FIRST_BRANCH,
    NO_RAIL_ACTION,
    NUMBER_OF_ACTIONS,
    is_forced,
    legal_actions,
    rail_action,
)
from rllib_mamba.envs.flatland.launchers import make_launcher
from rllib_mamba.envs.flatland.maps import make_simulator, new_episode
from rllib_mamba.envs.flatland.observation import TreeObservation
from rllib_mamba.envs.flatland.observers import make_observer
from rllib_mamba.envs.flatland.rewards import Outcome, RewardShaper
from rllib_mamba.envs.flatland.settings import FlatlandSettings
from rllib_mamba.envs.flatland.trains import Phase, Train, read_trains

_STOP_TRAIN = 4


class FlatlandEnv(MultiAgentEnv):
    """Trains that share a rail network and have to reach their targets; each is an agent, "train_0" and so on.

    Observation: (205,) float32 (fewer with a smaller `tree_depth`), see `observation.py`, or what the option
    `observation` names. Actions: 0 takes the leftmost branch, 1 the second one, 2 stops.
    Where a train has nothing to decide (off the decision cells, or broken down) it goes on whatever action is given,
    and one that may not depart yet waits off the map.
    A train that has arrived or is deadlocked has terminated for good: its last observation comes with its termination.
    `infos["__common__"]` holds `comm_mask` (n, n) int8, n possible agents, 1 at [i, j] where train i may hear train j
    (those it met on its tree), and at the last step of an episode `episode_metrics`: the fractions of trains `arrived`
    and `deadlocked`, and `episode_length` in steps.

    `config` holds options of `FlatlandSettings`. All randomness comes from one stream, given by the option `seed` and,
    under RLlib, the worker's and the environment's index, so that no two of them see the same maps; `reset(seed=...)`
    starts the stream anew.

    `set_task` lets episodes differ from each other, in the number of trains too: a train that is not in an episode
    never appears in it, while the spaces and the `comm_mask` stay those of `max_number_of_trains`.

    Raises:
        ValueError, TypeError: a configuration with an unknown option or a value out of range.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}  # noqa: RUF012 (as gymnasium declares it)
    render_mode = "rgb_array"

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        config = config or {}
        self.settings = FlatlandSettings.from_config(config)
        self.possible_agents = [f"train_{handle}" for handle in range(self.settings.number_of_agents)]
        self.agents = list(self.possible_agents)
        super().__init__()
        self.observation_spaces: dict[str, gym.Space] = {
            agent_id: gym.spaces.Box(-np.inf, np.inf, (self.settings.observation_size,), np.float32)
            for agent_id in self.possible_agents
        }
        self.action_spaces: dict[str, gym.Space] = {
            agent_id: gym.spaces.Discrete(NUMBER_OF_ACTIONS) for agent_id in self.possible_agents
        }
        self._stream_index = (getattr(config, "worker_index", 0) or 0, getattr(config, "vector_index", 0) or 0)
        self._random = self._random_stream(self.settings.seed)
        self._given_settings = self._next_settings = self.settings
        self._task: dict[str, Any] = {}
        self._steps_left = 0
        self._renderer: Any = None
        self._apply(self.settings)

    def set_task(self, task: Mapping[str, Any]) -> None:
        """Let the next episodes have other settings: those given at construction with the options of `task` in place.

        Every call starts from the settings given at construction; `{}` goes back to them. The episode that is running
        goes on as it is.

        Raises:
            ValueError, TypeError: an unknown option, a value out of range, or an option that is fixed (see
                `FIXED_OPTIONS` in `settings.py`); nothing changes then.
        """
        self._next_settings = self._given_settings.with_task(task)
        self._task = dict(task)

    def get_task(self) -> dict[str, Any]:
        """The options last given to `set_task`, empty if none were."""
        return dict(self._task)

    def _apply(self, settings: FlatlandSettings) -> None:
        self.settings = settings
        self.rail_env = make_simulator(settings)
        self._reward_shaper = RewardShaper(settings.rewards, settings.unreachable_distance)

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Begin an episode on a new random map; with `seed`, the same one whenever that seed is given."""
        super().reset(seed=seed)
        if seed is not None:
            self._random = self._random_stream(seed)
        if self._next_settings != self.settings:
            self._apply(self._next_settings)
        number = self.settings.number_of_trains
        self.agents = self.possible_agents[:number]
        self._graph = new_episode(self.rail_env, self.settings, self._random)
        self._tree = TreeObservation(self._graph, self._random.random(number).tolist())
        self._observer = make_observer(
            self.settings.observation,
            self.settings.tree_depth,
            self.settings.scaled_features,
            self.rail_env,
            self._graph,
        )
        self._encounters = EncounterMemory(number, len(self.possible_agents))
        trains = read_trains(self.rail_env, self._graph)
        self._launcher = make_launcher(self.settings.launcher, self._graph, trains, self.settings.window_size)
        self._trains = self._held_back(trains)
        self._deadlocked = [False] * number
        self._reward_shaper.start(self._graph, self._trains)
        self._terminated = [False] * number
        self._steps = 0
        self._renderer = None
        self._steps_left = self.rail_env._max_episode_steps
        observations, common = self._observe(self._deadlocked)
        infos = {"__common__": common, **self._action_masks(range(number))}
        return dict(zip(self.agents, observations, strict=True)), infos

    def step(
        self, action_dict: Mapping[str, int]
    ) -> tuple[dict[str, np.ndarray], dict[str, float], dict[str, bool], dict[str, bool], dict[str, Any]]:
        """Let all trains act at once; see the class for what comes back.

        Raises:
            RuntimeError: there is no episode, or it is over.
            ValueError: a train that has not terminated is given no action, or one that does not exist.
        """
        if self._steps_left <= 0:
            raise RuntimeError("the episode is over (or none was begun): call reset()")
        rail_actions = self._rail_actions(action_dict)
        self.rail_env.step(rail_actions)
        self._steps += 1
        self._steps_left -= 1

        acting = [handle for handle, ended in enumerate(self._terminated) if not ended]
        deadlocked_before = self._deadlocked
        self._look(deadlocked_before)
        stopped = [rail_actions.get(handle) == _STOP_TRAIN for handle in range(len(self._trains))]
        limit = self._steps + self._steps_left
        rewards = self._reward_shaper.rewards(Outcome(self._graph, self._trains, self._deadlocked, stopped, limit))
        observations, common = self._observe(deadlocked_before)
        all_terminated = all(self._terminated)
        timed_out = self._steps_left <= 0 and not all_terminated
        if all_terminated or timed_out:
            self._steps_left = 0
            common["episode_metrics"] = self._episode_metrics()

        names = self.possible_agents
        terminateds = {names[handle]: self._terminated[handle] for handle in acting}
        # Not the trains' own flags: RLlib would take each for an end of that train.
        truncateds = {**{names[handle]: False for handle in acting}, "__all__": timed_out}
        terminateds["__all__"] = all_terminated
        return (
            {names[handle]: observations[handle] for handle in acting},
            {names[handle]: rewards[handle] for handle in acting},
            terminateds,
            truncateds,
            {"__common__": common, **self._action_masks(acting)},
        )

    def render(self) -> np.ndarray:
        """The map with its trains, (about 600, about 600, 3) uint8; works without a display.

        An episode's first picture takes seconds, all others about 10 ms.

        Raises:
            RuntimeError: no episode was begun.
        """
        if self.rail_env.rail is None:
            raise RuntimeError("there is nothing to draw before reset()")
        if self._renderer is None:
            from flatland.utils.rendertools import RenderTool

            self._renderer = RenderTool(self.rail_env, gl="PILSVG", screen_width=700, screen_height=700)
        self._renderer.render_env(show=False, show_observations=False, show_predictions=False)
        return np.ascontiguousarray(self._renderer.get_image()[..., :3])

    def _rail_actions(self, action_dict: Mapping[str, int]) -> dict[int, int]:
        rail_actions: dict[int, int] = {}
        for handle, (agent_id, train) in enumerate(zip(self.agents, self._trains, strict=True)):
            if self._terminated[handle]:
                if self._deadlocked[handle]:
                    rail_actions[handle] = _STOP_TRAIN
                continue
            action = action_dict.get(agent_id)
            if action is None or not 0 <= action < NUMBER_OF_ACTIONS:
                raise ValueError(f"{agent_id} needs an action from 0 to {NUMBER_OF_ACTIONS - 1}, got {action!r}")
            if is_forced(train, False, self._graph.decisions):
                action = FIRST_BRANCH
            sent = rail_action(self._graph, train, int(action))
            if sent != NO_RAIL_ACTION:
                rail_actions[handle] = sent
        return rail_actions

    def _look(self, deadlocked_before: list[bool]) -> None:
        """Read the state that the simulator is in."""
        trains = read_trains(self.rail_env, self._graph)
        self._deadlocked = find_deadlocks(self._graph, trains, deadlocked_before)
        self._terminated = [
            deadlocked or train.phase == Phase.ARRIVED
            for train, deadlocked in zip(trains, self._deadlocked, strict=True)
        ]
        self._launcher.update(self._terminated)
        self._trains = self._held_back(trains)

    def _held_back(self, trains: list[Train]) -> list[Train]:
        released = self._launcher.released
        if all(released):
            return trains
        return [
            train if is_released else train._replace(phase=Phase.WAITING)
            for train, is_released in zip(trains, released, strict=True)
        ]

    def _observe(self, deadlocked_before: list[bool]) -> tuple[np.ndarray, dict[str, Any]]:
        features, met = self._tree.observe(self._trains, self._deadlocked)
        forced = [
            is_forced(train, deadlocked, self._graph.decisions)
            for train, deadlocked in zip(self._trains, self._deadlocked, strict=True)
        ]
        comm_mask = self._encounters.mask(met, forced, deadlocked_before)
        return self._observer.observe(features, self._trains), {"comm_mask": comm_mask}

    def _action_masks(self, handles: Iterable[int]) -> dict[str, Any]:
        if not self.settings.action_masks:
            return {}
        return {
            self.possible_agents[handle]: {
                "action_mask": np.array(legal_actions(self._graph, self._trains[handle]), np.int8)
            }
            for handle in handles
        }

    def _episode_metrics(self) -> dict[str, float]:
        number = self.settings.number_of_trains
        return {
            "arrived": sum(train.phase == Phase.ARRIVED for train in self._trains) / number,
            "deadlocked": sum(self._deadlocked) / number,
            "episode_length": float(self._steps),
        }

    def _random_stream(self, seed: int | None) -> np.random.Generator:
        if seed is None:
            return np.random.default_rng()
        return np.random.default_rng([seed, *self._stream_index])
