"""MAMBA, multi-agent model-based reinforcement learning, as a plugin for Ray RLlib.

Importing it registers the algorithms and environments with Ray Tune, so that
`tune.Tuner("MAMBA", ...)` and `environment("flatland_5_agents")` work by name.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rllib_mamba.algorithms.mamba.config import MAMBAConfig
    from rllib_mamba.algorithms.mamba.learner import MAMBALearner
    from rllib_mamba.algorithms.mamba.mamba import MAMBA
    from rllib_mamba.algorithms.mamba.policy import MAMBAPolicy
    from rllib_mamba.algorithms.mamba.rl_module import MAMBARLModule

__version__ = "0.1.0"
__all__ = ["MAMBA", "MAMBAConfig", "MAMBALearner", "MAMBAPolicy", "MAMBARLModule"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("rllib_mamba.algorithms.mamba"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _ray_is_installed() -> bool:
    try:
        return importlib.util.find_spec("ray") is not None
    except ImportError:
        # Nothing of Ray has run yet: somebody forbids it to be imported.
        return False


# Where Ray is not installed an exported policy still loads (`MAMBAPolicy.load`).
if _ray_is_installed():
    from rllib_mamba.registry import register

    register()
