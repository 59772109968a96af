"""Packages of the extra `reports`, which commands import only when they need them."""

import importlib.util

from rllib_mamba.cli.errors import UsageError


def require_reports(command: str, *packages: str) -> None:
    """Raises UsageError that says how to install what is missing of `packages`."""
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise UsageError(f'{command} needs {" and ".join(missing)}: pip install "rllib-mamba[reports]"')
