"""Imports jax and jaxmarl such that they take no more of the machine than they need."""

import contextlib
import difflib
import importlib
import io
import os
from types import ModuleType

_SINGLE_THREAD = "--xla_cpu_multi_thread_eigen=false"


def load_jax() -> ModuleType:
    """The module `jax`, set up before it is first imported.

    Raises:
        ImportError: jax or jaxmarl is not installed.
    """
    if _SINGLE_THREAD.partition("=")[0] not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_SINGLE_THREAD}".strip()
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    return _import("jax")


def load_smax() -> ModuleType:
    """The module `jaxmarl.environments.smax`.

    Raises:
        ImportError: jax or jaxmarl is not installed.
    """
    load_jax()
    # jaxmarl prints which of its optional parts were not found.
    with contextlib.redirect_stdout(io.StringIO()):
        return _import("jaxmarl.environments.smax")


def scenario_names() -> list[str]:
    """The scenarios that jaxmarl knows, its own and those registered with it.

    Raises:
        ImportError: jax or jaxmarl is not installed.
    """
    load_smax()
    return list(_import("jaxmarl.environments.smax.smax_env").MAP_NAME_TO_SCENARIO)


def check_scenario(name: str) -> None:
    """Whether jaxmarl has the scenario.

    Raises:
        ValueError: it has not; the message lists the nearest and all.
    """
    known = scenario_names()
    if name not in known:
        nearest = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
        raise ValueError(f"Unknown SMAX scenario {name!r}.{hint} The installed jaxmarl has {', '.join(known)}.")


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("jax", "jaxlib", "jaxmarl"):
            raise
        raise ImportError('SMAX needs jaxmarl, which is not installed: pip install "rllib-mamba[smax]"') from error
