"""Random maps and the Flatland simulator that runs on them."""

import contextlib
import math
import random
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from flatland.core.env_observation_builder import DummyObservationBuilder
from flatland.core.transition_map import GridTransitionMap
from flatland.envs.malfunction_generators import Malfunction, MalfunctionProcessData
from flatland.envs.rail_env import RailEnv
from flatland.envs.rail_generators import sparse_rail_generator
from flatland.envs.rail_grid_transition_map import RailGridTransitionMap
from flatland.envs.rewards import Rewards
from flatland.envs.step_utils.states import TrainState
from flatland.envs.timetable_generators import timetable_generator
from flatland.envs.timetable_utils import Timetable

from rllib_mamba.envs.flatland.launchers import FLATLAND_TIMETABLE
from rllib_mamba.envs.flatland.lines import independent_lines
from rllib_mamba.envs.flatland.rail_graph import RailGraph
from rllib_mamba.envs.flatland.settings import FlatlandSettings
from rllib_mamba.envs.flatland.trains import read_graph, read_trains

_MAX_ATTEMPTS = 50
_GENERATOR_WARNINGS = (
    "Could not set all required cities",
    r"\[WARNING\] Changing to Grid mode",
    r"\[WARNING\] No line added between stations",
    r"\[WARNING\] Unable to connect requested stations",
)


class MalfunctionProcess:
    """Breakdowns at a constant rate with uniform durations, from a random stream that is given for each episode."""

    def __init__(self, rate: float, min_duration: int, max_duration: int) -> None:
        self._process = MalfunctionProcessData(rate, min_duration, max_duration)
        self._probability = -math.expm1(-rate)
        self.start(np.random.default_rng(0))

    def start(self, random_stream: np.random.Generator) -> None:
        """Draw from `random_stream` from now on."""
        self._random = random_stream
        self._draws_to_next = self._next_gap()

    def generate(self, np_random: np.random.RandomState) -> Malfunction | None:
        """Flatland's hook, called for every train and step; Flatland's own random state is left alone."""
        self._draws_to_next -= 1
        if self._draws_to_next > 0:
            return None
        self._draws_to_next = self._next_gap()
        duration = int(self._random.integers(self._process.min_duration, self._process.max_duration, endpoint=True))
        return Malfunction(duration + 1)  # Flatland counts the step of the breakdown itself

    def get_process_data(self) -> MalfunctionProcessData:
        """Flatland's hook: rate and durations."""
        return self._process

    def _next_gap(self) -> float:
        return float(self._random.geometric(self._probability)) if self._probability else math.inf


class _NoRewards(Rewards):
    """Flatland's rewards are not used: the environment has its own."""

    def step_reward(self, *args: Any, **kwargs: Any) -> float:
        return 0.0

    def end_of_episode_reward(self, *args: Any, **kwargs: Any) -> float:
        return 0.0

    def cumulate(self, *rewards: float) -> float:
        return 0.0

    def empty(self) -> float:
        return 0.0


class _Simulator(RailEnv):
    """Flatland's environment without the observations and infos that nobody reads."""

    def _get_observations(self) -> dict[int, Any]:
        return {}

    def get_info_dict(self) -> dict[str, Any]:
        return {}


def make_simulator(settings: FlatlandSettings) -> RailEnv:
    """A Flatland environment for these settings; `new_episode` gives it its maps."""
    with _untouched_global_random():
        return _Simulator(
            settings.width,
            settings.height,
            rail_generator=sparse_rail_generator(
                max_num_cities=settings.number_of_cities,
                max_rails_between_cities=settings.max_rails_between_cities,
                max_rail_pairs_in_city=settings.max_rail_pairs_in_city,
            ),
            line_generator=independent_lines,
            number_of_agents=settings.number_of_trains,
            obs_builder_object=DummyObservationBuilder(),
            malfunction_generator=MalfunctionProcess(
                settings.malfunction_rate, settings.min_malfunction_duration, settings.max_malfunction_duration
            ),
            timetable_generator=timetable_generator
            if settings.launcher == FLATLAND_TIMETABLE
            else _no_timetable(settings),
            rewards=_NoRewards(),
        )


def new_episode(rail_env: RailEnv, settings: FlatlandSettings, random_stream: np.random.Generator) -> RailGraph:
    """Give the simulator a new random map on which every train can reach its target, and return its graph.

    Raises:
        RuntimeError: no such map was found, which means that the settings leave too little room.
    """
    for _ in range(_MAX_ATTEMPTS):
        rail_env.np_random = np.random.RandomState(random_stream.integers(2**32))
        with warnings.catch_warnings():
            for message in _GENERATOR_WARNINGS:
                warnings.filterwarnings("ignore", message=message, category=UserWarning)
            rail_env.reset()
        _forget_cached_transitions()
        graph = read_graph(rail_env)
        starts = zip(read_trains(rail_env, graph), graph.targets, strict=True)
        if all(graph.distances(target)[train.configuration] < math.inf for train, target in starts):
            break
    else:
        raise RuntimeError(
            f"no map with a way to its target for every train in {_MAX_ATTEMPTS} attempts: use a larger map or fewer "
            f"cities than in {settings}"
        )
    rail_env.malfunction_generator.start(random_stream)
    if settings.launcher != FLATLAND_TIMETABLE:
        for agent in rail_env.agents:  # Flatland would let them wait for one step
            agent.state_machine.set_state(TrainState.READY_TO_DEPART)
    return graph


def _no_timetable(settings: FlatlandSettings) -> Any:
    def generate(agents: list[Any], *unused: Any, **unused_by_name: Any) -> Timetable:
        return Timetable(
            earliest_departures=[[0, None]] * len(agents),
            latest_arrivals=[[None, settings.episode_limit]] * len(agents),
            max_episode_steps=settings.episode_limit,
        )

    return generate


def _forget_cached_transitions() -> None:
    # Flatland caches the transitions of every map in class-level tables that only grow, for as long as the process
    # lives. What is dropped of maps in use is computed again.
    for member in (*vars(GridTransitionMap).values(), *vars(RailGridTransitionMap).values()):
        if hasattr(member, "cache_clear"):
            member.cache_clear()


@contextlib.contextmanager
def _untouched_global_random() -> Iterator[None]:
    # Flatland seeds Python's global random numbers when an environment is made
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)
