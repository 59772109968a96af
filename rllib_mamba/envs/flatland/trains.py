"""What the environment needs to know of each train, read from a Flatland `RailEnv` in any state."""

import enum
from typing import TYPE_CHECKING, NamedTuple

from flatland.envs.step_utils.states import TrainState

from rllib_mamba.envs.flatland.rail_graph import HEADINGS, RailGraph

if TYPE_CHECKING:
    from flatland.envs.rail_env import RailEnv


class Phase(enum.IntEnum):
    """Where a train is on its journey."""

    WAITING = 0
    """Off the map, before its earliest departure."""
    READY = 1
    """Off the map, may depart (once a malfunction, if any, is over)."""
    ACTIVE = 2
    """On the map."""
    ARRIVED = 3
    """Has reached its target and left the map."""


class Train(NamedTuple):
    """State of one train."""

    phase: Phase
    configuration: int
    """Where it is; off the map: where it will appear; arrived: where it was bound for (heading of no meaning)."""
    malfunction: int
    """Steps for which it stays broken down; 0 if it is not."""


_ON_MAP = (TrainState.MOVING, TrainState.STOPPED, TrainState.MALFUNCTION)


def read_graph(rail_env: "RailEnv") -> RailGraph:
    """Graph of the map on which the trains run now."""
    return RailGraph(rail_env.rail.grid, [next(iter(agent.targets))[0] for agent in rail_env.agents])


def read_trains(rail_env: "RailEnv", graph: RailGraph) -> list[Train]:
    """States of all trains on the map of `graph`."""
    trains = []
    for agent, target in zip(rail_env.agents, graph.targets, strict=True):
        state = agent.state_machine.state
        malfunction = agent.malfunction_handler.malfunction_down_counter
        if state in _ON_MAP:
            trains.append(Train(Phase.ACTIVE, graph.configuration(*agent.current_configuration), malfunction))
        elif state == TrainState.DONE:
            trains.append(Train(Phase.ARRIVED, target * HEADINGS, malfunction))
        else:
            may_depart = state != TrainState.WAITING and agent.earliest_departure <= rail_env._elapsed_steps
            phase = Phase.READY if may_depart else Phase.WAITING
            trains.append(Train(phase, graph.configuration(*agent.initial_configuration), malfunction))
    return trains
