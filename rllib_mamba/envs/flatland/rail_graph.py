"""A rail map as a graph over configurations, computed once per map.

A configuration is a cell together with the heading with which a train stands in it, coded as one integer:
`(row * width + column) * 4 + heading`, headings 0 north, 1 east, 2 south, 3 west. Everything that looks at a map
(observation, decisions, deadlocks, rewards) works on these integers, and none of it asks Flatland at every step.
"""

import math
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

HEADINGS = 4
ROW_STEPS = (-1, 0, 1, 0)
COLUMN_STEPS = (0, 1, 0, -1)
#: Change of heading of a left turn, straight on, a right turn and a reversal (at dead ends): the order of all options.
TURNS = (-1, 0, 1, 2)


class Branch(NamedTuple):
    """A stretch of rail without a choice, up to and including the cell where the next choice (or the target) is."""

    end: int
    """Configuration in which the branch ends."""
    length: int
    """Number of cells."""
    cells: frozenset[int]
    """Cells passed."""
    visits: tuple[tuple[int, int], ...]
    """Cell and heading of every step, first to last: `visits[d - 1]` is at distance d."""


class RailGraph:
    """Transitions, distances and branches of one rail map and the targets on it.

    `grid` (height, width) holds Flatland's 16-bit cell transitions: four blocks of four exit bits (north, east, south,
    west), one block for each heading, most significant first. `target_positions` are row and column of each train's
    target.
    """

    def __init__(self, grid: np.ndarray, target_positions: Sequence[tuple[int, int]]) -> None:
        self.height, self.width = grid.shape
        #: Configurations reachable in one step, by configuration, in the order left, forward, right, back.
        self.successors: list[tuple[int, ...]] = [()] * (grid.size * HEADINGS)
        #: Turns that are open (left, forward, right), by configuration.
        self.turns: dict[int, tuple[bool, bool, bool]] = {}
        #: Cells with more than two transitions; crossings are among them.
        self.switch_cells: set[int] = set()
        self._predecessors: dict[int, list[int]] = {}
        self._distances: dict[int, list[float]] = {}
        self._branches: dict[int, Branch] = {}
        #: Target cell of each train.
        self.targets = tuple(self.cell(position) for position in target_positions)
        self._target_cells = frozenset(self.targets)
        for cell in np.flatnonzero(grid).tolist():
            self._add_cell(cell, int(grid.flat[cell]))
        #: Configurations where a train chooses: on a switch or on a target, or one step before either.
        self.decisions = self._find_decisions()

    def _add_cell(self, cell: int, transitions: int) -> None:
        row, column = divmod(cell, self.width)
        if transitions.bit_count() > 2:
            self.switch_cells.add(cell)
        for heading in range(HEADINGS):
            exits = (transitions >> (4 * (3 - heading))) & 0b1111
            if not exits:
                continue
            configuration = cell * HEADINGS + heading
            following = []
            open_turns = []
            for turn in TURNS:
                direction = (heading + turn) % HEADINGS
                is_open = bool(exits >> (3 - direction) & 1)
                open_turns.append(is_open)
                next_row, next_column = row + ROW_STEPS[direction], column + COLUMN_STEPS[direction]
                if is_open and 0 <= next_row < self.height and 0 <= next_column < self.width:
                    successor = (next_row * self.width + next_column) * HEADINGS + direction
                    following.append(successor)
                    self._predecessors.setdefault(successor, []).append(configuration)
            self.successors[configuration] = tuple(following)
            self.turns[configuration] = (open_turns[0], open_turns[1], open_turns[2])

    def _find_decisions(self) -> set[int]:
        decisions: set[int] = set()
        for cell in self.switch_cells | self._target_cells:
            for configuration in range(cell * HEADINGS, (cell + 1) * HEADINGS):
                decisions.add(configuration)
                decisions.update(self._predecessors.get(configuration, ()))
        return decisions

    def cell(self, position: tuple[int, int]) -> int:
        """Index of the cell at `position` (row, column)."""
        return position[0] * self.width + position[1]

    def configuration(self, position: tuple[int, int], heading: int) -> int:
        """Index of the configuration at `position` (row, column) with `heading`."""
        return (position[0] * self.width + position[1]) * HEADINGS + heading

    def position(self, configuration: int) -> tuple[int, int]:
        """Row and column of a configuration."""
        return divmod(configuration // HEADINGS, self.width)

    def distances(self, target_cell: int) -> list[float]:
        """Steps from every configuration to `target_cell`, whatever the heading on arrival; infinite if unreachable."""
        distances = self._distances.get(target_cell)
        if distances is None:
            distances = self._distances[target_cell] = self._search_backwards(target_cell)
        return distances

    def _search_backwards(self, target_cell: int) -> list[float]:
        distances = [math.inf] * len(self.successors)
        arrivals = range(target_cell * HEADINGS, (target_cell + 1) * HEADINGS)
        queue = deque(arrivals)
        for configuration in arrivals:
            distances[configuration] = 0
        while queue:
            configuration = queue.popleft()
            distance = distances[configuration] + 1
            for predecessor in self._predecessors.get(configuration, ()):
                if distances[predecessor] == math.inf:
                    distances[predecessor] = distance
                    queue.append(predecessor)
        return distances

    def branch(self, start: int) -> Branch:
        """The branch that begins in configuration `start`.

        A branch ends where its heading has two options, at a target, or where the rail ends. Crossings and switches
        passed without an option belong to it.
        """
        branch = self._branches.get(start)
        if branch is None:
            branch = self._branches[start] = self._walk(start)
        return branch

    def _walk(self, start: int) -> Branch:
        passed = [start]
        seen = {start}
        configuration = start
        while configuration // HEADINGS not in self._target_cells and len(self.successors[configuration]) == 1:
            configuration = self.successors[configuration][0]
            if configuration in seen:  # a ring without any switch has no end
                break
            seen.add(configuration)
            passed.append(configuration)
        visits = tuple(divmod(step, HEADINGS) for step in passed)
        return Branch(passed[-1], len(passed), frozenset(cell for cell, _ in visits), visits)
