"""Recorded Flatland snapshots, and how to put Flatland's simulator into their state (README.md, section B)."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from flatland.core.env_observation_builder import DummyObservationBuilder
from flatland.envs.malfunction_generators import NoMalfunctionGen
from flatland.envs.rail_env import RailEnv
from flatland.envs.rail_generators import rail_from_grid_transition_map
from flatland.envs.rail_grid_transition_map import RailGridTransitionMap
from flatland.envs.rail_trainrun_data_structures import Waypoint
from flatland.envs.step_utils.states import TrainState
from flatland.envs.timetable_utils import Line, Timetable

DATA = Path(os.environ.get("RLLIB_MAMBA_PARITY_DIR", Path(__file__).parent / "data"))
FILES = sorted(DATA.glob("flatland_*agents.npz"))

READY, ACTIVE, REMOVED = 0, 1, 3


class Recording:
    """One recorded episode: arrays by name (see README.md B.2), `static.*` as attributes of `static`."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as arrays:
            self.arrays = {name: arrays[name] for name in arrays.files}
        self.info = json.loads(path.with_suffix(".json").read_text())
        self.static = SimpleNamespace(
            **{name.removeprefix("static."): value for name, value in self.arrays.items() if name.startswith("static.")}
        )
        self.snapshots, self.trains = self.arrays["status"].shape

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def simulator(self) -> RailEnv:
        """Flatland on the recorded map, in the state after a reset."""
        height, width = self.static.grid.shape
        starts = [tuple(position) for position in self.static.initial_position.tolist()]
        headings = self.static.initial_direction.tolist()
        targets = [tuple(position) for position in self.static.target.tolist()]
        limit = self.info["rail_max_episode_steps"]
        line = Line(
            {i: [[Waypoint(starts[i], headings[i])], [Waypoint(targets[i], None)]] for i in range(self.trains)},
            self.static.speed.tolist(),
        )
        timetable = Timetable([[0, None]] * self.trains, [[None, limit]] * self.trains, limit)
        rail = RailGridTransitionMap(width, height, grid=self.static.grid.copy())
        rail_env = RailEnv(
            width,
            height,
            rail_generator=rail_from_grid_transition_map(rail),
            line_generator=lambda *_: line,
            timetable_generator=lambda *_: timetable,
            malfunction_generator=NoMalfunctionGen(),
            number_of_agents=self.trains,
            obs_builder_object=DummyObservationBuilder(),
        )
        rail_env.reset()
        return rail_env

    def impose(self, rail_env: RailEnv, snapshot: int) -> None:
        """Put `rail_env` into the state of a snapshot."""
        rail_env._elapsed_steps = int(self["elapsed"][snapshot])
        rail_env.agent_positions[:] = -1
        rail_env.dones = dict.fromkeys([*range(self.trains), "__all__"], False)
        for handle, agent in enumerate(rail_env.agents):
            status = int(self["status"][snapshot, handle])
            malfunction = int(self["malfunction"][snapshot, handle])
            moving = bool(self["moving"][snapshot, handle])
            configuration = None
            if status == ACTIVE:
                position = tuple(self["position"][snapshot, handle].tolist())
                configuration = (position, int(self["direction"][snapshot, handle]))
                rail_env.agent_positions[position] = handle
            state = _train_state(status, malfunction, moving)
            agent.current_configuration = agent.old_configuration = configuration
            agent.state_machine.set_state(state)
            agent.state_machine.previous_state = state
            agent.speed_counter.reset()
            agent.speed_counter._speed = agent.speed_counter.max_speed if state == TrainState.MOVING else 0
            agent.malfunction_handler._malfunction_down_counter = malfunction
            agent.malfunction_handler.num_malfunctions = int(self["nr_malfunctions"][snapshot, handle])
            agent.arrival_time = agent.target_configuration = None
            if status == REMOVED:
                agent.arrival_time = rail_env._elapsed_steps
                agent.target_configuration = next(iter(agent.targets))
                rail_env.dones[handle] = True

    def impose_new_malfunctions(self, rail_env: RailEnv, snapshot: int) -> None:
        """Let the trains break down that broke down during the step that follows the snapshot."""
        for handle, agent in enumerate(rail_env.agents):
            following = int(self["next_malfunction"][snapshot, handle])
            if following and not self["malfunction"][snapshot, handle]:
                agent.malfunction_handler._malfunction_down_counter = following + 1


def _train_state(status: int, malfunction: int, moving: bool) -> TrainState:
    if status == REMOVED:
        return TrainState.DONE
    if status == READY:
        return TrainState.MALFUNCTION_OFF_MAP if malfunction else TrainState.READY_TO_DEPART
    if malfunction:
        return TrainState.MALFUNCTION
    return TrainState.MOVING if moving else TrainState.STOPPED
