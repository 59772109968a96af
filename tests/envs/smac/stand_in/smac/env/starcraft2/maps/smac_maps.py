"""Four of SMAC's maps."""

from typing import Any

from pysc2.maps import Map

MARINES = {"a_race": "T", "unit_type_bits": 0, "map_type": "marines"}

map_param_registry: dict[str, dict[str, Any]] = {
    "3m": {"n_agents": 3, "n_enemies": 3, "limit": 60, **MARINES},
    "8m": {"n_agents": 8, "n_enemies": 8, "limit": 120, **MARINES},
    "2s3z": {
        "n_agents": 5,
        "n_enemies": 5,
        "limit": 120,
        "a_race": "P",
        "unit_type_bits": 2,
        "map_type": "stalkers_and_zealots",
    },
    "MMM": {"n_agents": 10, "n_enemies": 10, "limit": 150, "a_race": "T", "unit_type_bits": 3, "map_type": "MMM"},
}


def get_smac_map_registry() -> dict[str, dict[str, Any]]:
    return map_param_registry


for name in map_param_registry:
    globals()[name] = type(name, (Map,), {"filename": name})
