"""Imports jax and jaxmarl such that they take no more of the machine than they need.

Left alone, jax claims most of the memory of a GPU, hands every computation to another thread, and lets that thread
share the work with as many others as there are cores. A step of a battle takes a fraction of a millisecond, in which
there is nothing to be won by this, and the cores are needed by torch and by other env runners. So jax is told to use
the CPU (unless JAX_PLATFORMS or jax's own configuration says otherwise), to compute in the thread that calls it, and
to make no more than one thread that helps. That number is read from the variable NPROC when jax looks for its devices;
the flag `--xla_cpu_multi_thread_eigen`, often recommended for this, has no influence on it. XLA_FLAGS stays as it is.
Nothing of this changes anything where jax has computed before.
"""

import contextlib
import difflib
import functools
import importlib
import io
import os
import sys
from collections.abc import Iterator
from types import ModuleType

_NUMBER_OF_THREADS = "NPROC"
_NEEDED = ("jax", "jaxlib", "jaxmarl")


@functools.cache
def load_jax() -> ModuleType:
    """The module `jax`, set up as described above.

    Raises:
        ImportError: jax is not installed.
    """
    jax = _import("jax")
    if not jax.config.jax_platforms:
        jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    with _environment_default(_NUMBER_OF_THREADS, "1"):
        jax.devices()
    return jax


def load_smax() -> ModuleType:
    """The module `jaxmarl.environments.smax`.

    Raises:
        ImportError: jax or jaxmarl is not installed.
    """
    load_jax()
    with _quiet():
        return _import("jaxmarl.environments.smax")


def scenario_names() -> list[str]:
    """The scenarios that jaxmarl knows, its own and those registered with it.

    Raises:
        ImportError: jax or jaxmarl is not installed.
    """
    load_smax()
    return list(_import("jaxmarl.environments.smax.smax_env").MAP_NAME_TO_SCENARIO)


def check_scenario(name: str) -> None:
    """Refuses a scenario that jaxmarl does not have.

    Raises:
        ValueError: it has not; the message lists the nearest and all.
        ImportError: jax or jaxmarl is not installed.
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
        if error.name is None or error.name.partition(".")[0] not in _NEEDED:
            raise
        raise ImportError('SMAX needs jaxmarl, which is not installed: pip install "rllib-mamba[smax]"') from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # jaxmarl prints which of its optional parts it found, and leaves the process with the output streams that it began
    # with, whatever they were replaced with since.
    kept = {name: getattr(sys, name) for name in ("stdout", "stderr", "__stdout__")}
    sys.stdout = sys.__stdout__ = io.StringIO()  # type: ignore[assignment,misc]
    try:
        yield
    finally:
        for name, stream in kept.items():
            setattr(sys, name, stream)


@contextlib.contextmanager
def _environment_default(name: str, value: str) -> Iterator[None]:
    if name in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
