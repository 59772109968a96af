"""A battle, much simpler than StarCraft II's, on an empty map."""

import math
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

MAP_SIZE = 32
RANGE = 6
ALLY, ENEMY = 1, 2

# Name, type id, health, shield, damage in a step.
KINDS = {
    "m": ("marine", 48, 45, 0, 6),
    "M": ("marauder", 51, 125, 0, 8),
    "d": ("medivac", 54, 150, 0, 0),
    "z": ("zealot", 73, 100, 50, 3),
    "s": ("stalker", 74, 80, 80, 10),
    "c": ("colossus", 4, 200, 150, 15),
    "g": ("zergling", 105, 35, 0, 4),
    "b": ("baneling", 9, 30, 0, 12),
    "h": ("hydralisk", 107, 90, 0, 10),
    "p": ("spine crawler", 98, 300, 0, 18),
}
UNITS = {name: numbers for name, *numbers in KINDS.values()}
TEAMS = {
    "3m": ("3m", "3m"),
    "8m": ("8m", "8m"),
    "25m": ("25m", "25m"),
    "5m_vs_6m": ("5m", "6m"),
    "8m_vs_9m": ("8m", "9m"),
    "10m_vs_11m": ("10m", "11m"),
    "27m_vs_30m": ("27m", "30m"),
    "MMM": ("7m2M1d", "7m2M1d"),
    "MMM2": ("7m2M1d", "8m3M1d"),
    "2s3z": ("2s3z", "2s3z"),
    "3s5z": ("3s5z", "3s5z"),
    "3s5z_vs_3s6z": ("3s5z", "3s6z"),
    "3s_vs_3z": ("3s", "3z"),
    "3s_vs_4z": ("3s", "4z"),
    "3s_vs_5z": ("3s", "5z"),
    "1c3s5z": ("1c3s5z", "1c3s5z"),
    "2m_vs_1z": ("2m", "1z"),
    "corridor": ("6z", "24g"),
    "6h_vs_8z": ("6h", "8z"),
    "2s_vs_1sc": ("2s", "1p"),
    "so_many_baneling": ("7z", "32b"),
    "bane_vs_bane": ("4b20g", "4b20g"),
    "2c_vs_64zg": ("2c", "64g"),
    # Of SMACv2: its units are created for every battle.
    "10gen_terran": ("", ""),
}


def team(text: str) -> list[str]:
    """The names of the units of a team such as "2s3z"."""
    return [KINDS[kind][0] for number, kind in re.findall(r"(\d+)(\D)", text) for _ in range(int(number))]


@dataclass
class Point:
    x: float
    y: float


@dataclass
class Unit:
    tag: int
    owner: int
    unit_type: int
    pos: Point
    health: float
    health_max: float
    shield: float
    shield_max: float
    damage: float
    radius: float = 0.375
    energy: float = 50.0
    weapon_cooldown: float = 0.0


@dataclass
class Order:
    """What an allied unit shall do: go to a point, or attack or heal a unit."""

    tag: int
    target: Point | int


@dataclass
class Battle:
    """Two teams; the enemies walk to the nearest ally and hit it, the allies do what they are told."""

    map_name: str
    seed: int | None
    orders: list[Order] = field(default_factory=list)
    units: list[Unit] = field(default_factory=list)
    number: int = 0

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.seed)
        self._next_tag = 1
        self._spawn()

    def create(self, owner: int, unit_types: list[str]) -> None:
        side = 9 if owner == ALLY else 23
        for place, name in enumerate(unit_types):
            type_id, health, shield, damage = UNITS[name]
            row, column = place % 16, place // 16
            spread = 1.5 * (row - min(len(unit_types), 16) / 2)
            where = Point(side - column + self._random.uniform(-1, 1), 16 + spread)
            self.units.append(Unit(self._next_tag, owner, type_id, where, health, health, shield, shield, damage))
            self._next_tag += 1

    def kill(self, tags: list[int]) -> None:
        for unit in self.units:
            if unit.tag in tags:
                unit.health = 0

    def advance(self) -> None:
        if not any(unit.health > 0 for unit in self.units):
            self._spawn()
            return
        by_tag = {unit.tag: unit for unit in self.units}
        for order in self.orders:
            unit = by_tag[order.tag]
            if isinstance(order.target, Point):
                unit.pos = order.target
            elif by_tag[order.target].owner == ENEMY:
                self._hit(unit, by_tag[order.target])
            else:
                target = by_tag[order.target]
                target.health = min(target.health + 10, target.health_max)
        self.orders = []
        for enemy in self._living(ENEMY):
            allies = self._living(ALLY)
            if allies and enemy.damage:
                # Those that cannot fight come last.
                nearest = min(allies, key=lambda ally: (not ally.damage, _distance(enemy, ally)))
                if _distance(enemy, nearest) <= RANGE:
                    self._hit(enemy, nearest)
                else:
                    enemy.pos.x += 2 * math.copysign(1, nearest.pos.x - enemy.pos.x)

    def _spawn(self) -> None:
        self.number += 1
        self.units = []
        allies, enemies = TEAMS[self.map_name]
        self.create(ALLY, team(allies))
        self.create(ENEMY, team(enemies))

    def _living(self, owner: int) -> list[Unit]:
        return [unit for unit in self.units if unit.owner == owner and unit.health > 0]

    def _hit(self, unit: Unit, target: Unit) -> None:
        if unit.health <= 0:
            return
        damage = unit.damage * self._random.uniform(0.8, 1.2)
        absorbed = min(damage, target.shield)
        target.shield -= absorbed
        target.health = max(target.health - damage + absorbed, 0)


def _distance(one: Any, other: Any) -> float:
    return math.hypot(one.pos.x - other.pos.x, one.pos.y - other.pos.y)
