"""MAPPO: configuration and algorithm, module, learner, and the policy without a cluster."""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "MAPPO": "mappo",
    "MAPPOConfig": "config",
    "MAPPOLearner": "learner",
    "MAPPOPolicy": "policy",
    "MAPPORLModule": "rl_module",
}

__all__ = ["MAPPO", "MAPPOConfig", "MAPPOLearner", "MAPPOPolicy", "MAPPORLModule"]


def __getattr__(name: str) -> Any:
    # An exported policy must load where Ray is not installed, so each name is imported when asked for.
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
