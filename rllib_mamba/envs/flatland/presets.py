"""Named maps."""

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    "flatland_debug": {
        "number_of_trains": 3,
        "width": 22,
        "height": 22,
        "number_of_cities": 2,
        "max_rail_pairs_in_city": 1,
        "malfunction_rate": 1 / 50,
        "min_malfunction_duration": 2,
        "max_malfunction_duration": 5,
    },
    "flatland_5_agents": {
        "number_of_trains": 5,
        "width": 35,
        "height": 35,
        "number_of_cities": 3,
        "malfunction_rate": 1 / 100,
    },
    "flatland_10_agents": {
        "number_of_trains": 10,
        "width": 35,
        "height": 35,
        "number_of_cities": 4,
        "malfunction_rate": 1 / 150,
    },
    # The published program has 20 trains under this name; the map is the same.
    "flatland_15_agents": {
        "number_of_trains": 15,
        "width": 60,
        "height": 40,
        "number_of_cities": 6,
        "malfunction_rate": 1 / 200,
    },
    "flatland_20_agents": {
        "number_of_trains": 20,
        "width": 60,
        "height": 40,
        "number_of_cities": 6,
        "malfunction_rate": 1 / 200,
    },
}
"""Options of `FlatlandSettings` by name. Those of 5, 10 and 20 trains are the MAMBA paper's."""
