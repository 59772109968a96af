"""Draws a battle without a display."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rllib_mamba.envs.smax.simulation import Simulation, View

_PIXELS = 640
_HEADER = 32
# Drawn larger and scaled down: lines and circles get smooth edges.
_FINE = 2
_GRID = 4

_GROUND, _LINES, _TEXT = "#f4f1ea", "#e4dfd3", "#3c3a36"
_TEAMS = ("#2f6fc4", "#c8452f")
_SHOTS = ("#7fb0ee", "#f0a08f")
_DEAD = ("#b4c6df", "#e3bdb4")
_HEALTH, _LOST = "#3fa34d", "#55514a"

Point = tuple[float, float]


class Renderer:
    """Units as circles with the letter of their type and a health bar, attacks as lines, the dead as crosses.

    Allies are blue, enemies red. The longer side of the map takes 640 pixels.

    Args:
        simulation: of the battles to draw.
    """

    def __init__(self, simulation: Simulation) -> None:
        game = simulation.game
        self._num_allies = simulation.num_allies
        self._first_attack = simulation.num_movement_actions
        self._width, self._height = int(game.map_width), int(game.map_height)
        self._scale = _FINE * _PIXELS / max(self._width, self._height)
        self._letters = list(game.unit_type_shorthands)
        self._radiuses = np.asarray(game.unit_type_radiuses) * self._scale
        self._ranges = np.asarray(game.unit_type_attack_ranges)
        self._letter_fonts = [ImageFont.load_default(1.4 * radius) for radius in self._radiuses]
        self._header_font = ImageFont.load_default(0.5 * _FINE * _HEADER)
        self._ground = self._draw_ground()

    def _draw_ground(self) -> Image.Image:
        width, height = round(self._width * self._scale), round(self._height * self._scale)
        image = Image.new("RGB", (width, height + _FINE * _HEADER), _GROUND)
        draw = ImageDraw.Draw(image)
        for column in range(0, self._width, _GRID):
            draw.line([self._at(column, 0), self._at(column, self._height)], fill=_LINES, width=_FINE)
        for row in range(0, self._height, _GRID):
            draw.line([self._at(0, row), self._at(self._width, row)], fill=_LINES, width=_FINE)
        draw.rectangle([(0, 0), (width, _FINE * _HEADER)], fill=_TEXT)
        return image

    def _at(self, x: float, y: float) -> Point:
        # Up is up: in jaxmarl's own drawings y grows upwards.
        return x * self._scale, (self._height - y) * self._scale + _FINE * _HEADER

    def draw(self, view: View) -> np.ndarray:
        """A frame, (height, width, 3) uint8."""
        image = self._ground.copy()
        draw = ImageDraw.Draw(image)
        positions = [self._at(x, y) for x, y in view.positions.tolist()]
        types = view.state[-len(view.alive) :].astype(int).tolist()
        for unit, alive in enumerate(view.alive):
            if not alive:
                self._draw_dead(draw, unit, positions[unit], self._radiuses[types[unit]])
        for unit, target in self._attacks(view, types):
            shot = _SHOTS[unit >= self._num_allies]
            draw.line([positions[unit], positions[target]], fill=shot, width=2 * _FINE)
        health = view.state[: -2 * len(view.alive)].reshape(len(view.alive), -1)[:, 0].tolist()
        for unit, alive in enumerate(view.alive):
            if alive:
                self._draw_unit(draw, unit, positions[unit], types[unit], health[unit])
        self._draw_header(draw, view)
        return np.asarray(image.reduce(_FINE))

    def _attacks(self, view: View, types: list[int]) -> list[tuple[int, int]]:
        attacks = []
        for unit, action in enumerate(view.attacks.astype(int).tolist()):
            if not view.alive[unit] or action < self._first_attack:
                continue
            number = action - self._first_attack
            # Enemies count the allies from the last to the first.
            target = self._num_allies + number if unit < self._num_allies else self._num_allies - 1 - number
            if np.linalg.norm(view.positions[unit] - view.positions[target]) < self._ranges[types[unit]]:
                attacks.append((unit, target))
        return attacks

    def _draw_dead(self, draw: Any, unit: int, position: Point, radius: float) -> None:
        (x, y), arm, colour = position, 0.7 * radius, _DEAD[unit >= self._num_allies]
        draw.line([(x - arm, y - arm), (x + arm, y + arm)], fill=colour, width=2 * _FINE)
        draw.line([(x - arm, y + arm), (x + arm, y - arm)], fill=colour, width=2 * _FINE)

    def _draw_unit(self, draw: Any, unit: int, position: Point, unit_type: int, health: float) -> None:
        (x, y), radius = position, self._radiuses[unit_type]
        draw.circle((x, y), radius, fill=_TEAMS[unit >= self._num_allies], outline=_TEXT, width=_FINE)
        draw.text((x, y), self._letters[unit_type], fill="white", font=self._letter_fonts[unit_type], anchor="mm")
        left, top, length = x - 1.3 * radius, y - radius - 6 * _FINE, 2.6 * radius
        draw.rectangle([(left, top), (left + length, top + 3 * _FINE)], fill=_LOST)
        draw.rectangle([(left, top), (left + length * health, top + 3 * _FINE)], fill=_HEALTH)

    def _draw_header(self, draw: Any, view: View) -> None:
        allies, enemies = sum(view.alive[: self._num_allies]), sum(view.alive[self._num_allies :])
        num_enemies = len(view.alive) - self._num_allies
        middle = 0.5 * _FINE * _HEADER
        width = self._width * self._scale
        ours, theirs = f"allies {allies:.0f} / {self._num_allies}", f"enemies {enemies:.0f} / {num_enemies}"
        font = self._header_font
        draw.text((middle, middle), ours, fill=_SHOTS[0], font=font, anchor="lm")
        draw.text((width / 2, middle), f"step {view.steps:.0f}", fill="white", font=font, anchor="mm")
        draw.text((width - middle, middle), theirs, fill=_SHOTS[1], font=font, anchor="rm")
