"""What a world model believes, in numbers."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rllib_mamba.reports.dreams import Dream, DreamReport, ErrorCurve, RealEpisode

JSON_FILE = "dream.json"
DIGITS = 6


def write_dreams(
    report: DreamReport, agents: Sequence[str], made_with: Mapping[str, Any], drawn: int, folder: Path
) -> None:
    """Writes errors, attention and the dreams of the first `drawn` episodes as JSON, without spaces for its size."""
    content = {
        **made_with,
        "episodes": [_episode(episode, agents) for episode in report.episodes],
        "starts": [{"seed": report.episodes[one.episode].seed, "row": one.start} for one in report.dreams],
        "starts_by_horizon": report.counts.tolist(),
        "errors": {
            quantity: {way: _curve(curve) for way, curve in ways.items()} for quantity, ways in report.errors.items()
        },
        "attention_by_layer": _numbers(report.attention),
        "dreams": [_dream(report.episodes[one.episode], one) for one in report.eventful(drawn)],
    }
    (folder / JSON_FILE).write_text(json.dumps(content, allow_nan=False) + "\n")


def _episode(episode: RealEpisode, agents: Sequence[str]) -> dict[str, Any]:
    returns = episode.reward.sum(0, dtype=np.float64).tolist()
    return {
        "seed": episode.seed,
        "length": episode.length,
        "returns_by_agent": dict(zip(agents, returns, strict=True)),
    }


def _curve(curve: ErrorCurve) -> dict[str, Any]:
    return {"mean": _numbers(curve.mean), "low": _numbers(curve.low), "high": _numbers(curve.high)}


def _dream(episode: RealEpisode, dream: Dream) -> dict[str, Any]:
    """Lists by row and agent, as `Beliefs` and `RealEpisode` have them."""
    rows, predicted = dream.rows, dream.predicted
    steps = slice(rows.start - 1, rows.stop - 1)
    mask = episode.action_mask
    return {
        "seed": episode.seed,
        "row": dream.start,
        "acts": episode.alive[rows].tolist(),
        "action": episode.action[steps].tolist(),
        "real": {
            "observation": _numbers(episode.observation[rows]),
            "reward": _numbers(episode.reward[steps]),
            "continuation": (~episode.ended[rows]).astype(int).tolist(),
            "legal": None if mask is None else mask[rows].astype(int).tolist(),
        },
        "predicted": {name: _numbers(values) for name, values in vars(predicted).items()},
    }


def _numbers(values: np.ndarray | None) -> Any:
    """Lists of numbers for JSON, which has no NaN."""
    if values is None:
        return None
    if values.ndim > 1:
        return [_numbers(part) for part in values]
    return [None if math.isnan(value) else float(f"{value:.{DIGITS}g}") for value in values.tolist()]
