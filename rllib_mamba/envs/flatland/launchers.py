"""Launchers: who may depart when. Trains that may not yet wait off the map, and what they do has no effect."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from rllib_mamba.envs.flatland.rail_graph import RailGraph
from rllib_mamba.envs.flatland.trains import Train

ALL_AT_ONCE = "all_at_once"
BY_CITY = "by_city"
FLATLAND_TIMETABLE = "flatland_timetable"

_CITY_REACH = 10
_UNDER_WAY_PER_CITY = 2


class Launcher(ABC):
    """Which trains have been released, that is, may depart; nobody is called back."""

    def __init__(self, number_of_trains: int) -> None:
        self.released = [False] * number_of_trains

    @abstractmethod
    def update(self, ended: Sequence[bool]) -> None:
        """Release who may depart now; `ended` are the trains that have arrived or are deadlocked."""

    def _under_way(self, ended: Sequence[bool]) -> list[int]:
        """Handles of the trains that were released and have not ended."""
        return [handle for handle, released in enumerate(self.released) if released and not ended[handle]]


class AllAtOnce(Launcher):
    """Every train may depart from the beginning (or, with Flatland's timetable, when that says so)."""

    def update(self, ended: Sequence[bool]) -> None:
        """Release everybody."""
        self.released = [True] * len(self.released)


class WindowLauncher(Launcher):
    """At most `window` trains are under way; whenever one ends, the one that costs least follows, of equals the first.

    Args:
        window: at least 1.
    """

    def __init__(self, number_of_trains: int, window: int) -> None:
        super().__init__(number_of_trains)
        self._window = window

    def update(self, ended: Sequence[bool]) -> None:
        """Fill the window."""
        if all(self.released):
            return
        under_way = self._under_way(ended)
        while len(under_way) < self._window and not all(self.released):
            waiting = [handle for handle, released in enumerate(self.released) if not released]
            following = min(waiting, key=lambda handle: self._cost(handle, under_way))
            self.released[following] = True
            under_way.append(following)

    @abstractmethod
    def _cost(self, handle: int, under_way: Sequence[int]) -> float:
        """Cost of releasing a train while others are under way."""


class ShortestPathFirst(WindowLauncher):
    """A window of trains, the shortest way to the target first."""

    def __init__(self, graph: RailGraph, trains: Sequence[Train], window: int) -> None:
        super().__init__(len(trains), window)
        self._distances = [
            graph.distances(target)[train.configuration] for train, target in zip(trains, graph.targets, strict=True)
        ]

    def _cost(self, handle: int, under_way: Sequence[int]) -> float:
        return self._distances[handle]


class NetworkLoad(WindowLauncher):
    """A window of trains, the one first whose way is least used by those under way.

    The load of a way is counted, not learned: for every train under way, the number of cells that its shortest path has
    in common with this train's.
    """

    def __init__(self, graph: RailGraph, trains: Sequence[Train], window: int) -> None:
        super().__init__(len(trains), window)
        self._paths = [
            _shortest_path(graph, train, target) for train, target in zip(trains, graph.targets, strict=True)
        ]

    def _cost(self, handle: int, under_way: Sequence[int]) -> float:
        return sum(len(self._paths[handle] & self._paths[other]) for other in under_way)


class ByCity(Launcher):
    """City by city: the next one's trains may depart once at most two for every city released are under way.

    Trains whose starts are less than ten rows and ten columns apart start from the same city. Cities come in the order
    of their first trains, one at a step.
    """

    def __init__(self, graph: RailGraph, trains: Sequence[Train]) -> None:
        super().__init__(len(trains))
        self._cities = _cities([graph.position(train.configuration) for train in trains])
        self._released_cities = 0

    def update(self, ended: Sequence[bool]) -> None:
        """Release the next city's trains, if it is time."""
        if all(self.released) or len(self._under_way(ended)) > _UNDER_WAY_PER_CITY * self._released_cities:
            return
        for handle, city in enumerate(self._cities):
            if city == self._released_cities:
                self.released[handle] = True
        self._released_cities += 1


WINDOW_LAUNCHERS = {"shortest_path_first": ShortestPathFirst, "network_load": NetworkLoad}
"""Launchers that have a window, by name."""

LAUNCHERS = (ALL_AT_ONCE, *WINDOW_LAUNCHERS, BY_CITY, FLATLAND_TIMETABLE)
"""Names of all launchers."""


def make_launcher(name: str, graph: RailGraph, trains: Sequence[Train], window: int | None) -> Launcher:
    """The launcher `name` for an episode that begins with these trains, the first of them released."""
    launcher: Launcher
    if name in WINDOW_LAUNCHERS:
        assert window is not None
        launcher = WINDOW_LAUNCHERS[name](graph, trains, window)
    elif name == BY_CITY:
        launcher = ByCity(graph, trains)
    else:
        launcher = AllAtOnce(len(trains))
    launcher.update([False] * len(trains))
    return launcher


def _shortest_path(graph: RailGraph, train: Train, target: int) -> frozenset[int]:
    """Configurations' cells on one shortest path, the target's left out."""
    distances = graph.distances(target)
    cells = []
    configuration = train.configuration
    while distances[configuration] > 0:
        cells.append(graph.cell(graph.position(configuration)))
        configuration = min(graph.successors[configuration], key=lambda step: distances[step])
    return frozenset(cells)


def _cities(starts: Sequence[tuple[int, int]]) -> list[int]:
    cities: list[int] = []
    for handle, (row, column) in enumerate(starts):
        neighbours = (
            cities[other]
            for other, (other_row, other_column) in enumerate(starts[:handle])
            if abs(row - other_row) < _CITY_REACH and abs(column - other_column) < _CITY_REACH
        )
        cities.append(next(neighbours, max(cities, default=-1) + 1))
    return cities
