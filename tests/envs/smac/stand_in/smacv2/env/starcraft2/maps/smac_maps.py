"""One of SMACv2's maps, and one of SMAC's."""

from typing import Any

from pysc2.maps import Map

map_param_registry: dict[str, dict[str, Any]] = {
    "10gen_terran": {
        "n_agents": 10,
        "n_enemies": 10,
        "limit": 200,
        "a_race": "T",
        "b_race": "T",
        "unit_type_bits": 3,
        "map_type": "terran_gen",
        "map_name": "32x32_flat",
    },
    "3m": {
        "n_agents": 3,
        "n_enemies": 3,
        "limit": 60,
        "a_race": "T",
        "b_race": "T",
        "unit_type_bits": 0,
        "map_type": "marines",
        "map_name": "3m",
    },
}


def get_smac_map_registry() -> dict[str, dict[str, Any]]:
    return map_param_registry


for name, parameters in map_param_registry.items():
    globals()[name] = type(name, (Map,), {"filename": parameters["map_name"]})
