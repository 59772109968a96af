"""`SMAXEnv`: battles against a heuristic enemy as an RLlib multi-agent environment."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from rllib_mamba.envs.smax.batch import Seat, shared_batch
from rllib_mamba.envs.smax.settings import SMAXSettings
from rllib_mamba.envs.smax.simulation import View

_StepResult = tuple[dict[str, np.ndarray], dict[str, float], dict[str, bool], dict[str, bool], dict[str, Any]]


class SMAXEnv(MultiAgentEnv):
    """Units that fight a heuristic enemy together; each is an agent, "ally_0" and so on.

    Observation: (O,) float32, what the unit sees of every other unit and of itself. Actions: 0 to 3 move up, right,
    down and left, 4 stops, 5 + i attacks enemy i. `action_mask` (A,) int8 in a unit's info tells which are legal;
    attacks on enemies that are dead or out of range are not, and count as a stop.
    The reward is the team's, given to every unit: the damage done to the enemies as a share of their full health,
    averaged over them, and `won_battle_bonus` for a battle won.
    A unit that dies stays until the battle is over: it sees nothing but zeros, can only stop, and shares in the reward,
    so that dying for the team's victory is worth what it is.
    `infos["__common__"]` holds the `state` (S,) float32 of all units, and at the last step of a battle
    `episode_metrics`: `won` (all enemies dead, an ally alive), `episode_length` in steps, the fractions
    `enemies_killed` and `allies_alive`, and `team_return`, the sum of the rewards.

    Environments of one process with the same settings step together: `step_async` hands in actions, the first
    `step_wait` carries out the steps of all that have handed in theirs; `step` is both.

    `config` holds options of `SMAXSettings`. All battles come from one key, given by the option `seed` and, under
    RLlib, the worker's and the environment's index, so that no two of them fight the same ones; `reset(seed=...)` gives
    another key.

    Raises:
        ValueError, TypeError: a configuration with an unknown option or a value out of range, an unknown scenario.
        ImportError: jaxmarl is not installed.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012 (as gymnasium declares it)
    render_mode = "rgb_array"

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        config = config or {}
        self.settings = SMAXSettings.from_config(config)
        batch = shared_batch(self.settings)
        self._simulation = batch.simulation
        self.possible_agents = [f"ally_{index}" for index in range(self._simulation.num_allies)]
        self.agents = list(self.possible_agents)
        super().__init__()
        size = self._simulation.observation_size
        self.observation_spaces: dict[str, gym.Space] = {
            agent: gym.spaces.Box(-np.inf, np.inf, (size,), np.float32) for agent in self.possible_agents
        }
        self.action_spaces: dict[str, gym.Space] = {
            agent: gym.spaces.Discrete(self._simulation.num_actions) for agent in self.possible_agents
        }
        self._stream_index = (getattr(config, "worker_index", 0) or 0, getattr(config, "vector_index", 0) or 0)
        self._seat = Seat(batch, self._key(self.settings.seed), self.settings.max_steps)
        self._fighting = False
        self._team_return = 0.0
        self._view: View | None = None
        self._renderer: Any = None

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Begins a battle; with `seed`, the same one whenever that seed is given."""
        super().reset(seed=seed)
        self._view = view = self._seat.begin(None if seed is None else self._key(seed))
        self._fighting = True
        self._team_return = 0.0
        return self._observe(view)

    def step(self, action_dict: Mapping[str, int]) -> _StepResult:
        """Lets all units act at once; see the class for what comes back.

        Raises:
            RuntimeError: there is no battle, or it is over.
            ValueError: a unit is given no action, or one that does not exist.
        """
        self.step_async(action_dict)
        return self.step_wait()

    def step_async(self, action_dict: Mapping[str, int]) -> None:
        """Hands in the actions of a step. Raises what `step` does."""
        if not self._fighting:
            raise RuntimeError("the battle is over (or none was begun): call reset()")
        actions = np.empty(self._simulation.num_allies, np.int32)
        for index, agent in enumerate(self.possible_agents):
            action = action_dict.get(agent)
            if action is None or not 0 <= action < self._simulation.num_actions:
                raise ValueError(
                    f"{agent} needs an action from 0 to {self._simulation.num_actions - 1}, got {action!r}"
                )
            actions[index] = action
        self._seat.act(actions)

    def step_wait(self) -> _StepResult:
        """What came of the step that was handed in."""
        self._view = view = self._seat.wait()
        self._team_return += view.reward
        observations, infos = self._observe(view)
        terminated, truncated = bool(view.terminated), bool(view.truncated)
        terminateds = dict.fromkeys(self.possible_agents, terminated)
        # Not the agents' own flags: RLlib would take each for an end of that agent.
        truncateds = dict.fromkeys(self.possible_agents, False)
        terminateds["__all__"], truncateds["__all__"] = terminated, truncated
        if terminated or truncated:
            infos["__common__"]["episode_metrics"] = self._episode_metrics(view)
            self._fighting = False
        return observations, dict.fromkeys(self.possible_agents, view.reward), terminateds, truncateds, infos

    def render(self) -> np.ndarray:
        """The map with its units, (height, width, 3) uint8; works without a display.

        Raises:
            RuntimeError: no battle was begun.
        """
        if self._view is None:
            raise RuntimeError("there is nothing to draw before reset()")
        if self._renderer is None:
            from rllib_mamba.envs.smax.rendering import Renderer

            self._renderer = Renderer(self._simulation)
        return self._renderer.draw(self._view)

    def close(self) -> None:
        """Leaves the others that step together."""
        self._seat.leave()

    def _observe(self, view: View) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        observations = dict(zip(self.possible_agents, view.observations, strict=True))
        infos: dict[str, Any] = {
            agent: {"action_mask": mask} for agent, mask in zip(self.possible_agents, view.action_masks, strict=True)
        }
        infos["__common__"] = {"state": view.state}
        return observations, infos

    def _episode_metrics(self, view: View) -> dict[str, float]:
        alive = [value > 0 for value in view.alive]
        allies, enemies = alive[: self._simulation.num_allies], alive[self._simulation.num_allies :]
        return {
            "won": float(any(allies) and not any(enemies)),
            "episode_length": view.steps,
            "enemies_killed": 1 - sum(enemies) / len(enemies),
            "allies_alive": sum(allies) / len(allies),
            "team_return": self._team_return,
        }

    def _key(self, seed: int | None) -> np.ndarray:
        sequence = np.random.SeedSequence(None if seed is None else [seed, *self._stream_index])
        return sequence.generate_state(2)
