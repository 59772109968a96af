"""How figures look: colours that everyone can tell apart (Okabe and Ito), sizes for print, plain axes."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

GREY = "#666666"
_FIXED = {"MAMBA": "#0072B2", "MAPPO": "#D55E00", "QMIX": "#009E73", "PPO": "#CC79A7"}
_OTHERS = ("#E69F00", "#56B4E9", "#000000", "#CC79A7", "#009E73", "#D55E00", "#0072B2")
_DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

SETTINGS: dict[str, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E5E5E5",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "rllib_mamba",
    "figure.dpi": 100,
}


def colours(names: Iterable[str]) -> dict[str, str]:
    """Returns a colour for each of `names`: always the same for known algorithms, distinct ones for up to seven."""
    unique = list(dict.fromkeys(names))
    chosen = {name: _FIXED[name] for name in unique if name in _FIXED}
    free = [colour for colour in _OTHERS if colour not in chosen.values()]
    for index, name in enumerate(name for name in unique if name not in chosen):
        chosen[name] = free[index % len(free)]
    return chosen


def dashes(names: Iterable[str]) -> dict[str, Any]:
    """Returns a line style for each of `names`, so that lines differ without colour as well."""
    return {name: _DASHES[index % len(_DASHES)] for index, name in enumerate(dict.fromkeys(names))}


def markers(names: Iterable[str]) -> dict[str, str]:
    """Returns a marker for each of `names`."""
    return {name: MARKERS[index % len(MARKERS)] for index, name in enumerate(dict.fromkeys(names))}


def save(figure: Any, folder: Path, name: str) -> list[str]:
    """Writes `figure` as PNG and SVG into `folder`, closes it, and returns the names of the files."""
    import matplotlib.pyplot as plt

    files = [f"{name}.png", f"{name}.svg"]
    for file in files:
        metadata = {"Date": None} if file.endswith("svg") else None
        figure.savefig(folder / file, dpi=200, bbox_inches="tight", pad_inches=0.08, metadata=metadata)
    plt.close(figure)
    return files


def thousands(value: float, position: object = None) -> str:
    """Returns a count for an axis: 800, 20k, 1.5M."""
    size = abs(value)
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= unit * 0.9995:
            return f"{value / unit:.3g}{letter}"
    return f"{value:.3g}"


def time_unit(hours: float) -> tuple[float, str]:
    """Returns by what to multiply hours, and the name of the unit, for times up to `hours`."""
    if not math.isfinite(hours) or hours >= 2:
        return 1.0, "hours"
    return (60.0, "minutes") if hours >= 2 / 60 else (3600.0, "seconds")
