"""Where trains start and where they are bound."""

import math
from typing import Any

import numpy as np
from flatland.envs.rail_grid_transition_map import RailGridTransitionMap
from flatland.envs.rail_trainrun_data_structures import Waypoint
from flatland.envs.timetable_utils import Line

from rllib_mamba.envs.flatland.rail_graph import HEADINGS, RailGraph

_MAX_ATTEMPTS = 20


def independent_lines(
    rail: RailGridTransitionMap, number: int, hints: dict[str, Any], num_resets: int, np_random: np.random.RandomState
) -> Line:
    """A line for every train on its own: two cities at random, from an even track of one to an odd track of the other.

    This is how the trains of the MAMBA paper run. Flatland's own generator sends every two trains against each other
    between the same two cities, which leads to far more deadlocks on maps with many trains. The arguments are those of
    a Flatland line generator. A train for which no reachable target is found gets one that is not.
    """
    graph = RailGraph(rail.grid, ())
    waypoints = {}
    for train in range(number):
        for _ in range(_MAX_ATTEMPTS):
            start, target, headings = _draw(graph, hints, np_random)
            if headings:
                break
        heading = int(np_random.choice(headings or HEADINGS))
        arrivals = [Waypoint(target, arrival) for arrival in range(HEADINGS)]
        possible = [waypoint for waypoint in arrivals if rail.is_valid_configuration((target, waypoint.direction))]
        waypoints[train] = [[Waypoint(start, heading)], possible]
    return Line(waypoints, [1.0] * number)


def _draw(
    graph: RailGraph, hints: dict[str, Any], np_random: np.random.RandomState
) -> tuple[tuple[int, int], tuple[int, int], list[int]]:
    """A start, a target and the headings, along the tracks of the start's city, with a way from one to the other."""
    stations = hints["train_stations"]
    origin, destination = np_random.choice(len(stations), 2, replace=False)
    start = _position(stations[origin][2 * np_random.randint(len(stations[origin]) // 2)])
    target = _position(stations[destination][2 * np_random.randint(len(stations[destination]) // 2) + 1])
    distances = graph.distances(graph.cell(target))
    orientation = int(hints["city_orientations"][origin])
    along = (orientation, (orientation + 2) % HEADINGS)
    return start, target, [h for h in along if distances[graph.configuration(start, h)] < math.inf]


def _position(station: tuple[tuple[int, int], int]) -> tuple[int, int]:
    (row, column), _ = station
    return int(row), int(column)
