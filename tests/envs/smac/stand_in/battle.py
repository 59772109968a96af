"""A battle, much simpler than StarCraft II's, on an empty map."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

MAP_SIZE = 32
RANGE = 6
ALLY, ENEMY = 1, 2

# Type id, health, shield, damage in a step.
UNITS = {
    "marine": (48, 45, 0, 6),
    "marauder": (51, 125, 0, 8),
    "medivac": (54, 150, 0, 0),
    "zealot": (73, 100, 50, 9),
    "stalker": (74, 80, 80, 10),
}
TEAMS = {
    "3m": (["marine"] * 3, ["marine"] * 3),
    "8m": (["marine"] * 8, ["marine"] * 8),
    "2s3z": (["zealot"] * 3 + ["stalker"] * 2, ["zealot"] * 3 + ["stalker"] * 2),
    "MMM": (["marine"] * 7 + ["marauder"] * 2 + ["medivac"],) * 2,
    "10gen_terran": ([], []),
}


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
            where = Point(side + self._random.uniform(-1, 1), 16 + 1.5 * (place - len(unit_types) / 2))
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
                nearest = min(allies, key=lambda ally: _distance(enemy, ally))
                if _distance(enemy, nearest) <= RANGE:
                    self._hit(enemy, nearest)
                else:
                    enemy.pos.x += 2 * math.copysign(1, nearest.pos.x - enemy.pos.x)

    def _spawn(self) -> None:
        self.number += 1
        self.units = []
        allies, enemies = TEAMS[self.map_name]
        self.create(ALLY, allies)
        self.create(ENEMY, enemies)

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
