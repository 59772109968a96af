"""A game of StarCraft II: a `StarCraft2Env` and its process, from launch to end."""

import atexit
import contextlib
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from rllib_mamba.envs.smac.processes import GameProcesses

NO_OPERATION = 0
"""The action of the dead, legal for them alone."""
STOP = 1


class GameCrashedError(Exception):
    """The game did not answer as it should; it has to be launched anew."""


@dataclass(frozen=True)
class Situation:
    """What N agents see and may do: observations (N, O) float32, action masks (N, A) int8, state (S,) float32."""

    observations: np.ndarray
    action_masks: np.ndarray
    state: np.ndarray


@dataclass(frozen=True)
class Outcome:
    """What came of a step. `timed_out`: the battle was stopped by the limit on its steps, not decided."""

    reward: float
    over: bool
    timed_out: bool
    won: bool
    dead_allies: int
    dead_enemies: int
    situation: Situation


class Game:
    """One game process, in which battle follows battle, and the `StarCraft2Env` that plays it.

    Nothing is launched before the first `begin`. A game that has crashed is of no further use: close it, make another.

    Args:
        make_environment: gives a new `StarCraft2Env`, or something with its interface.
    """

    def __init__(self, make_environment: Callable[[], Any]) -> None:
        environment = make_environment()
        processes = GameProcesses()
        self._environment = environment
        self._processes = processes
        # SMACv2's wrapper has the environment inside.
        self._simulation = getattr(environment, "env", environment)
        # After a fault it would launch another game by itself, quietly, also after close(), twice in the first battle,
        # and sometimes go on with what it saw before.
        self._simulation.full_restart = _crashed
        self._info = environment.get_env_info()
        self._launched = False
        self._battles = 0
        self._timeouts = 0
        # Also at the end of the process, and when this object is deleted.
        self._end = weakref.finalize(self, _end, environment, self._simulation, processes)

    @property
    def goes_on(self) -> bool:
        """Whether another battle can begin: the first one has to end, otherwise `StarCraft2Env` launches a new game."""
        return not self._launched or self._battles > 0

    def begin(self) -> Situation:
        """Begins a battle; launches the game for the first one.

        Raises:
            GameCrashedError: the game was not launched, or does not answer.
        """
        with _faults_are_crashes():
            if self._launched:
                self._environment.reset()
            else:
                with self._processes.marked():
                    self._environment.reset()
                self._launched = True
            return self._look()

    def step(self, actions: Sequence[int]) -> Outcome:
        """Lets all N agents act, each in a way that its mask allows.

        Raises:
            GameCrashedError: the game does not answer.
        """
        with _faults_are_crashes():
            reward, over, info = self._environment.step(list(actions))
            if over:
                self._battles += 1
            # The limit is told by name only with `continuing_episode`, but always counted. There is nothing to be had
            # from get_stats() before the first battle is over.
            timeouts = self._environment.get_stats()["timeouts"] if over else self._timeouts
            timed_out, self._timeouts = timeouts > self._timeouts, timeouts
            dead = int(info["dead_allies"]), int(info["dead_enemies"])
            return Outcome(float(reward), bool(over), timed_out, bool(info["battle_won"]), *dead, self._look())

    def save_replay(self) -> None:
        """Saves what was played since the launch, where `replay_dir` says.

        Raises:
            GameCrashedError: the game does not answer.
        """
        with _faults_are_crashes():
            self._environment.save_replay()

    def close(self) -> None:
        """Ends the game and its processes for certain. Calling it again does nothing."""
        self._end()

    @property
    def simulation(self) -> Any:
        """The `StarCraft2Env` itself, to look at."""
        return self._simulation

    def _look(self) -> Situation:
        observations = np.stack([self._fitted(observation) for observation in self._environment.get_obs()])
        if self._simulation.obs_instead_of_state:
            state = observations.reshape(-1)
        else:
            state = np.asarray(self._environment.get_state(), np.float32)
        return Situation(observations, np.array(self._environment.get_avail_actions(), np.int8), state)

    def _fitted(self, observation: Any) -> np.ndarray:
        array = np.asarray(observation, np.float32)
        if array.size == self._info["obs_shape"] + 1:
            # With `obs_timestep_number` SMAC sets a place aside for the time, and then adds it behind that.
            return np.delete(array, -2)
        return array


def example_situation(info: dict[str, Any]) -> Situation:
    """A situation of the sizes that `StarCraft2Env.get_env_info()` tells, in which everybody lives."""
    masks = np.ones((info["n_agents"], info["n_actions"]), np.int8)
    masks[:, NO_OPERATION] = 0
    observations = np.zeros((info["n_agents"], info["obs_shape"]), np.float32)
    return Situation(observations, masks, np.zeros(info["state_shape"], np.float32))


def forget(environment: Any) -> None:
    """Lets a `StarCraft2Env` go, which otherwise is kept until the process ends, with all that it holds."""
    atexit.unregister(_FunctionsOf(environment))  # type: ignore[arg-type]


class _FunctionsOf:
    """Equal to every function that holds on to `environment`, such as the one that it has called at the exit."""

    def __init__(self, environment: Any) -> None:
        self._environment = environment

    def __eq__(self, function: object) -> bool:
        for cell in getattr(function, "__closure__", None) or ():
            # A cell may be empty.
            with contextlib.suppress(ValueError):
                if cell.cell_contents is self._environment:
                    return True
        return False

    __hash__ = object.__hash__


def _crashed(*arguments: Any, **options: Any) -> NoReturn:
    raise GameCrashedError("the game was to be restarted")


@contextmanager
def _faults_are_crashes() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        cause = error.__context__ if isinstance(error, GameCrashedError) and error.__context__ else error
        raise GameCrashedError(f"{type(cause).__name__}: {cause}") from error


def _end(environment: Any, simulation: Any, processes: GameProcesses) -> None:
    try:
        # A game that has crashed may not be able to say goodbye.
        with contextlib.suppress(Exception):
            environment.close()
    finally:
        processes.end()
        forget(simulation)
