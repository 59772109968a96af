"""`SMACEnv`: battles of StarCraft II as an RLlib multi-agent environment."""

import contextlib
import copy
import logging
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from rllib_mamba.envs.smac.drawing import draw_battle
from rllib_mamba.envs.smac.game import (
    NO_OPERATION,
    STOP,
    Game,
    GameCrashedError,
    Outcome,
    Situation,
    example_situation,
    forget,
)
from rllib_mamba.envs.smac.importing import load_package
from rllib_mamba.envs.smac.seeding import seed_distributions
from rllib_mamba.envs.smac.settings import SMACSettings
from rllib_mamba.envs.smac.statistics import BattleStatistics

_logger = logging.getLogger(__name__)

_StepResult = tuple[dict[str, np.ndarray], dict[str, float], dict[str, bool], dict[str, bool], dict[str, Any]]


class StarCraftError(RuntimeError):
    """The game crashed too often in a row; the message says how often, and why the last time."""

    ends_the_run = True


class SMACEnv(MultiAgentEnv):
    """Units that fight the game's own AI together; each is an agent, "ally_0" and so on, in the order of SMAC.

    Observation: (O,) float32, SMAC's. Actions: 0 is for the dead, 1 stops, 2 to 5 move north, south, east, west, 6 and
    up attack the enemy (a medivac: heal the ally) of that number less 6. `action_mask` (A,) int8 in a unit's info tells
    which are legal; another one counts as a stop.
    The reward is the team's, given to every unit. As in SMAC, a unit that dies stays until the battle is over: it sees
    nothing but zeros, can only do nothing, and shares in the reward. The limit on the steps of a battle truncates it,
    whatever `continuing_episode` says.
    `infos["__common__"]` holds the `state` (S,) float32, and at the last step of a battle `battle_statistics` (see the
    method) and `episode_metrics`: `won`, `timed_out`, `dead_allies`, `dead_enemies`, `episode_length` in steps,
    `team_return` and `restarts`, how many crashes there were so far.

    The game is launched by the first `reset`. When it crashes, the battle is truncated at what was seen last, without
    `episode_metrics`, and the next `reset` launches another. It ends with `close`, and on Linux also when this process
    is killed.

    `config` holds options of `SMACSettings`: all arguments of `StarCraft2Env`, and with `capability_config` those of
    SMACv2. The seeds of all games come from one stream, given by the option `seed` and, under RLlib, the worker's and
    the environment's index. A game takes its seed when it is launched: `reset(seed=...)` launches another one, unless
    nothing was played yet in one that has this seed.

    Raises:
        ImportError: the package smac (or smacv2) is missing or another one.
        RuntimeError: StarCraft II or the map is missing.
        ValueError, TypeError: a configuration with an unknown option or map or a value out of range.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}  # noqa: RUF012 (as gymnasium declares it)
    render_mode = "rgb_array"

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        config = config or {}
        self._package = load_package("smacv2" if config.get("capability_config") else "smac")
        self.settings = SMACSettings.from_config(config, self._package)
        self._stream_index = (getattr(config, "worker_index", 0) or 0, getattr(config, "vector_index", 0) or 0)
        self._info = self._look_at_info()
        map_name = self.settings.game.get("map_name", self._package.defaults["map_name"])
        self._package.check_game(map_name, self.settings.game.get("game_version"))
        # Two processes may save at the same second, which is all that makes the names of replays differ.
        self._replay_prefix = "_".join(map(str, (map_name, *self._stream_index)))
        #: Steps after which a battle is truncated.
        self.episode_limit: int = self._info["episode_limit"]
        self.possible_agents = [f"ally_{index}" for index in range(self._info["n_agents"])]
        self.agents = list(self.possible_agents)
        super().__init__()
        self.observation_spaces: dict[str, gym.Space] = {
            agent: gym.spaces.Box(-np.inf, np.inf, (self._info["obs_shape"],), np.float32)
            for agent in self.possible_agents
        }
        self.action_spaces: dict[str, gym.Space] = {
            agent: gym.spaces.Discrete(self._info["n_actions"]) for agent in self.possible_agents
        }
        self._seed = self.settings.seed
        self._seeds = self._seed_stream()
        self._game: Game | None = None
        self._situation: Situation | None = None
        self._fighting = False
        self._nothing_played = False
        self._crashes_in_a_row = 0
        self._statistics = BattleStatistics()
        self._frame: np.ndarray | None = None
        self._closed = False

    # ------------------------------------------------------------------ RLlib's interface

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Begins a battle; with `seed`, in a new game (see the class).

        Raises:
            RuntimeError: this environment was closed.
            StarCraftError: the game crashed too often in a row.
        """
        self._check_open()
        super().reset(seed=seed)
        if seed is not None and not (self._nothing_played and seed == self._seed):
            self._end_game()
            self._seed = seed
            self._seeds = self._seed_stream()
        if not self._nothing_played:
            self._situation = self._begin_battle()
        assert self._situation is not None
        self._fighting = True
        self._steps = 0
        self._return = 0.0
        return self._observe(self._situation)

    def step(self, action_dict: Mapping[str, int]) -> _StepResult:
        """Lets all units act at once; see the class for what comes back.

        Raises:
            RuntimeError: there is no battle, it is over, or this environment was closed.
            ValueError: a unit is given no action, or one that does not exist.
            StarCraftError: the game crashed too often in a row.
        """
        self._check_open()
        if not self._fighting or self._game is None or self._situation is None:
            raise RuntimeError("the battle is over (or none was begun): call reset()")
        actions = self._game_actions(action_dict, self._situation.action_masks)
        self._nothing_played = False
        try:
            outcome = self._game.step(actions)
        except GameCrashedError as crash:
            results = self._cut_short(self._situation)
            self._recover_from(crash)
            return results
        self._steps += 1
        self._return += outcome.reward
        self._situation = outcome.situation
        return self._results(outcome)

    def example_reset(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """What `reset` might give, without launching a game."""
        return self._observe(example_situation(self._info))

    def render(self) -> np.ndarray:
        """The battle from above, (512, 512, 3) uint8; works without a display.

        Raises:
            RuntimeError: no battle was begun.
        """
        if self._game is not None:
            self._frame = draw_battle(self._game.simulation)
        if self._frame is None:
            raise RuntimeError("there is nothing to draw before reset()")
        return self._frame

    def close(self) -> None:
        """Ends the game. Calling it again does nothing."""
        self._closed = True
        self._end_game()

    # ------------------------------------------------------------------ beyond RLlib's interface

    def save_replay(self) -> None:
        """Saves a replay of all that the running game has played, in `replay_dir` (default: StarCraft's own folder).

        Raises:
            RuntimeError: there is no game, or it does not answer.
        """
        if self._game is None:
            raise RuntimeError("there is nothing to save before reset()")
        try:
            self._game.save_replay()
        except GameCrashedError as crash:
            raise RuntimeError(f"the replay was not saved: {crash}") from crash

    def battle_statistics(self) -> dict[str, float]:
        """Counts since this environment was made, under the names of SMAC's `get_stats`, over all of its games.

        `battles_won`, `battles_game` (all that have ended), `battles_draw` and `timeouts` (those ended by the limit),
        `win_rate`, and `restarts` after crashes.
        """
        return self._statistics.as_dict()

    # ------------------------------------------------------------------ the game

    def _make_game(self) -> Any:
        # SMACv2 writes into its capability_config.
        arguments = {"replay_prefix": self._replay_prefix, **copy.deepcopy(dict(self.settings.game))}
        arguments["seed"] = None if self._seeds is None else int(self._seeds.integers(2**31))
        environment = self._package.environment_class(**arguments)
        if self._package.name == "smacv2" and arguments["seed"] is not None:
            seed_distributions(environment, arguments["seed"])
        return environment

    def _look_at_info(self) -> dict[str, Any]:
        try:
            environment = self._package.environment_class(**copy.deepcopy(dict(self.settings.game)))
            forget(getattr(environment, "env", environment))
            return environment.get_env_info()
        except Exception as error:
            raise ValueError(
                f"{self._package.name} does not take these options ({type(error).__name__}: {error}): "
                f"{dict(self.settings.game)}"
            ) from error

    def _seed_stream(self) -> np.random.Generator | None:
        return None if self._seed is None else np.random.default_rng([self._seed, *self._stream_index])

    def _begin_battle(self) -> Situation:
        while True:
            if self._game is not None and not self._game.goes_on:
                self._end_game()
            launches = self._game is None
            try:
                if self._game is None:
                    self._game = Game(self._make_game)
                situation = self._game.begin()
            except GameCrashedError as crash:
                self._recover_from(crash)
            else:
                self._nothing_played = launches
                return situation

    def _recover_from(self, crash: GameCrashedError) -> None:
        if self._game is not None:
            with contextlib.suppress(Exception):
                self._frame = draw_battle(self._game.simulation)
        self._end_game()
        self._statistics.restarts += 1
        self._crashes_in_a_row += 1
        if self._crashes_in_a_row >= self.settings.max_crashes_in_a_row:
            raise StarCraftError(
                f"StarCraft II crashed {self._crashes_in_a_row} times in a row, without a battle that came to its end; "
                f"the last time: {crash}. Is there memory for a game in every environment? The option "
                "max_crashes_in_a_row allows more."
            ) from crash
        _logger.warning("StarCraft II crashed (%s); it is launched anew with the next battle.", crash)

    def _end_game(self) -> None:
        self._nothing_played = False
        self._fighting = False
        if self._game is not None:
            self._game.close()
            self._game = None

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("this environment was closed: make another one")

    # ------------------------------------------------------------------ the parts of a step

    def _game_actions(self, action_dict: Mapping[str, int], masks: np.ndarray) -> list[int]:
        actions = []
        for agent, mask in zip(self.possible_agents, masks, strict=True):
            action = action_dict.get(agent)
            if action is None or not 0 <= action < len(mask):
                raise ValueError(f"{agent} needs an action from 0 to {len(mask) - 1}, got {action!r}")
            instead = STOP if mask[STOP] else NO_OPERATION
            actions.append(int(action) if mask[action] else instead)
        return actions

    def _observe(self, situation: Situation) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        agents = self.possible_agents
        infos: dict[str, Any] = {
            agent: {"action_mask": mask} for agent, mask in zip(agents, situation.action_masks, strict=True)
        }
        infos["__common__"] = {"state": situation.state}
        return dict(zip(agents, situation.observations, strict=True)), infos

    def _results(self, outcome: Outcome) -> _StepResult:
        observations, infos = self._observe(outcome.situation)
        decided = outcome.over and not outcome.timed_out
        terminateds = dict.fromkeys(self.possible_agents, decided)
        # Not the agents' own flags: RLlib would take each for an end of that agent.
        truncateds = dict.fromkeys(self.possible_agents, False)
        terminateds["__all__"], truncateds["__all__"] = decided, outcome.timed_out
        if outcome.over:
            self._crashes_in_a_row = 0
            self._statistics.count(outcome)
            infos["__common__"]["episode_metrics"] = self._episode_metrics(outcome)
            infos["__common__"]["battle_statistics"] = self.battle_statistics()
            self._save_replay_if_it_is_time()
            self._fighting = False
        return observations, dict.fromkeys(self.possible_agents, outcome.reward), terminateds, truncateds, infos

    def _cut_short(self, situation: Situation) -> _StepResult:
        # What happened in this step is not known: nothing is said to have been gained.
        observations, infos = self._observe(situation)
        flags = dict.fromkeys([*observations, "__all__"], False)
        truncateds = {**flags, "__all__": True}
        return observations, dict.fromkeys(observations, 0.0), flags, truncateds, infos

    def _episode_metrics(self, outcome: Outcome) -> dict[str, float]:
        return {
            "won": float(outcome.won),
            "timed_out": float(outcome.timed_out),
            "dead_allies": float(outcome.dead_allies),
            "dead_enemies": float(outcome.dead_enemies),
            "episode_length": float(self._steps),
            "team_return": self._return,
            "restarts": float(self._statistics.restarts),
        }

    def _save_replay_if_it_is_time(self) -> None:
        interval = self.settings.replay_interval
        if not interval or self._statistics.battles % interval or self._game is None:
            return
        try:
            self._game.save_replay()
        except GameCrashedError as crash:
            _logger.warning("The replay was not saved: %s", crash)
