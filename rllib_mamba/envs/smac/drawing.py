"""Pictures of a battle from above, drawn without the game's own renderer, which needs a screen."""

from collections.abc import Iterable
from typing import Any

import numpy as np

_SIZE = 512
_GROUND, _BLOCKED = (58, 52, 46), (26, 24, 22)
_ALLY, _ENEMY = (74, 144, 226), (214, 66, 58)
_HEALTH, _SHIELD, _LOST = (94, 214, 108), (156, 214, 255), (20, 20, 20)
_BAR_HEIGHT = 3


def draw_battle(simulation: Any) -> np.ndarray:
    """The battle of a `StarCraft2Env`: (512, 512, 3) uint8, allies blue, enemies red, health (and shields) above them.

    The longer side of the map fills the picture; north is up.
    """
    width, height = simulation.map_x, simulation.map_y
    scale = _SIZE / max(width, height)
    picture = np.empty((_SIZE, _SIZE, 3), np.uint8)
    picture[:] = _BLOCKED
    columns = np.minimum((np.arange(int(width * scale)) / scale).astype(int), width - 1)
    rows = np.minimum((np.arange(int(height * scale)) / scale).astype(int), height - 1)
    passable = np.asarray(simulation.pathing_grid, bool)[np.ix_(columns, rows)]
    # The game counts from the bottom left, pictures from the top left.
    picture[_SIZE - len(rows) :, : len(columns)][passable.T[::-1]] = _GROUND
    for units, colour in ((simulation.enemies, _ENEMY), (simulation.agents, _ALLY)):
        _draw_units(picture, units.values(), colour, scale)
    return picture


def _draw_units(picture: np.ndarray, units: Iterable[Any], colour: tuple[int, int, int], scale: float) -> None:
    for unit in units:
        if unit.health <= 0:
            continue
        column, row = unit.pos.x * scale, _SIZE - unit.pos.y * scale
        radius = max(unit.radius * scale, 4.0)
        left, top = int(column - radius), int(row - radius)
        right, bottom = int(column + radius) + 1, int(row + radius) + 1
        rows = np.arange(max(top, 0), min(bottom, _SIZE))
        columns = np.arange(max(left, 0), min(right, _SIZE))
        inside = (rows[:, None] - row) ** 2 + (columns - column) ** 2 <= radius**2
        picture[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)][inside] = colour
        _draw_bar(picture, left, right, top - _BAR_HEIGHT - 1, unit.health / unit.health_max, _HEALTH)
        if unit.shield_max:
            _draw_bar(picture, left, right, top - 2 * _BAR_HEIGHT - 2, unit.shield / unit.shield_max, _SHIELD)


def _draw_bar(picture: np.ndarray, left: int, right: int, top: int, share: float, colour: tuple[int, int, int]) -> None:
    rows = slice(max(top, 0), max(top + _BAR_HEIGHT, 0))
    middle = left + round(share * (right - left))
    picture[rows, max(left, 0) : max(right, 0)] = _LOST
    picture[rows, max(left, 0) : max(middle, 0)] = colour
