"""From the name of a module to the environment it makes."""

import importlib
from collections.abc import Mapping
from typing import Any

from ray.rllib.env.multi_agent_env import MultiAgentEnv

_PREFIX = "pettingzoo:"


def make_pettingzoo(module_name: str, config: Mapping[str, Any]) -> MultiAgentEnv:
    """Makes the game of a module with the given keyword arguments, parallel where the module offers both forms.

    Raises:
        ValueError: there is no such module, or it defines no game.
        ImportError: the module needs a package that is not installed.
    """
    from ray.rllib.env.wrappers.pettingzoo_env import ParallelPettingZooEnv, PettingZooEnv

    module = _import_module(module_name)
    if hasattr(module, "parallel_env"):
        return ParallelPettingZooEnv(module.parallel_env(**config))
    if hasattr(module, "env"):
        return PettingZooEnv(module.env(**config))
    raise ValueError(f"{_PREFIX + module_name!r}: the module {module.__name__} has neither `parallel_env` nor `env`.")


def _import_module(name: str) -> Any:
    for module_name in (f"pettingzoo.{name}", name):
        try:
            return importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            missing = error.name or ""
            if missing == "pettingzoo":
                continue
            if not module_name.startswith(missing):
                raise ImportError(
                    f"{_PREFIX + name!r} needs the package {missing!r}, which is not installed."
                ) from error
    raise ValueError(
        f"{_PREFIX + name!r}: there is no module pettingzoo.{name} and no module {name}. Expected is a module of "
        "PettingZoo ('pettingzoo:butterfly.pistonball_v6') or one that defines `parallel_env` or `env`; PettingZoo "
        'itself comes with pip install "rllib-mamba[pettingzoo]".'
    )
