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
    from rllib_mamba.algorithms.mappo.config import MAPPOConfig
    from rllib_mamba.algorithms.mappo.learner import MAPPOLearner
    from rllib_mamba.algorithms.mappo.mappo import MAPPO
    from rllib_mamba.algorithms.mappo.policy import MAPPOPolicy
    from rllib_mamba.algorithms.mappo.rl_module import MAPPORLModule
    from rllib_mamba.algorithms.qmix.config import QMIXConfig
    from rllib_mamba.algorithms.qmix.learner import QMIXLearner
    from rllib_mamba.algorithms.qmix.policy import QMIXPolicy
    from rllib_mamba.algorithms.qmix.qmix import QMIX
    from rllib_mamba.algorithms.qmix.rl_module import QMIXRLModule

__version__ = "0.1.0"
__all__ = [
    "MAMBA",
    "MAPPO",
    "QMIX",
    "MAMBAConfig",
    "MAMBALearner",
    "MAMBAPolicy",
    "MAMBARLModule",
    "MAPPOConfig",
    "MAPPOLearner",
    "MAPPOPolicy",
    "MAPPORLModule",
    "QMIXConfig",
    "QMIXLearner",
    "QMIXPolicy",
    "QMIXRLModule",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        algorithm = next(algorithm for algorithm in ("MAMBA", "MAPPO", "QMIX") if name.startswith(algorithm))
        return getattr(importlib.import_module(f"rllib_mamba.algorithms.{algorithm.lower()}"), name)
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
