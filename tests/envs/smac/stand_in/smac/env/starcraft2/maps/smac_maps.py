"""The maps of SMAC: limits on the steps, races, places for the types of units."""

from typing import Any

from battle import TEAMS, team
from pysc2.maps import Map

LIMITS = {
    "3m": 60,
    "8m": 120,
    "25m": 150,
    "5m_vs_6m": 70,
    "8m_vs_9m": 120,
    "10m_vs_11m": 150,
    "27m_vs_30m": 180,
    "MMM": 150,
    "MMM2": 180,
    "2s3z": 120,
    "3s5z": 150,
    "3s5z_vs_3s6z": 170,
    "3s_vs_3z": 150,
    "3s_vs_4z": 200,
    "3s_vs_5z": 250,
    "1c3s5z": 180,
    "2m_vs_1z": 150,
    "corridor": 400,
    "6h_vs_8z": 150,
    "2s_vs_1sc": 300,
    "so_many_baneling": 100,
    "bane_vs_bane": 200,
    "2c_vs_64zg": 400,
}
TYPE_BITS = {"MMM": 3, "MMM2": 3, "2s3z": 2, "3s5z": 2, "3s5z_vs_3s6z": 2, "1c3s5z": 3, "bane_vs_bane": 2}
RACES = {"m": "T", "d": "T", "s": "P", "z": "P", "c": "P", "h": "Z", "g": "Z", "p": "Z", "b": "Z"}


def parameters(name: str) -> dict[str, Any]:
    allies, enemies = TEAMS[name]
    return {
        "n_agents": len(team(allies)),
        "n_enemies": len(team(enemies)),
        "limit": LIMITS[name],
        "a_race": RACES[allies[-1]],
        "b_race": RACES[enemies[-1]],
        "unit_type_bits": TYPE_BITS.get(name, 0),
        "map_type": "MMM" if name.startswith("MMM") else "other",
    }


map_param_registry = {name: parameters(name) for name in LIMITS}


def get_smac_map_registry() -> dict[str, dict[str, Any]]:
    return map_param_registry


for name in map_param_registry:
    globals()[name] = type(name, (Map,), {"filename": name})
