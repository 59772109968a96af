"""What programs that measure share: how figures are summed up, shown and written."""

import json
import os
from pathlib import Path
from statistics import median
from typing import Any

import torch


def spread(values: list[float]) -> list[float]:
    """Least, median and most."""
    return [min(values), median(values), max(values)]


def shown(values: list[float], digits: int = 0) -> str:
    """A spread as tables have it: median (least to most)."""
    least, middle, most = (f"{value:.{digits}f}" for value in values)
    return f"{middle} ({least} to {most})"


def write(file: Path, results: list[dict[str, Any]]) -> None:
    """The results and the machine they are from, as JSON."""
    machine = {"cores": os.cpu_count(), "torch": torch.__version__, "load": os.getloadavg()}
    file.write_text(json.dumps({"machine": machine, "results": results}, indent=2) + "\n")
