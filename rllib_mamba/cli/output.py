"""What the commands share that write pictures and numbers into a folder."""

import importlib.util
from collections.abc import Iterable
from pathlib import Path

from rllib_mamba.cli.errors import CommandError, UsageError


def require_reports(command: str, *packages: str) -> None:
    """Raises UsageError that says how to install what is missing of `packages`, of the extra `reports`."""
    missing = [package for package in packages if _is_missing(package)]
    if missing:
        raise UsageError(f'{command} needs {" and ".join(missing)}: pip install "rllib-mamba[reports]"')


def prepare_folder(folder: Path, overwrite: bool) -> None:
    """Makes `folder`. Raises CommandError where it holds something, unless it may be overwritten."""
    try:
        if folder.exists() and not folder.is_dir():
            raise CommandError(f"--out: {folder} is a file; name a folder.")
        if folder.is_dir() and any(folder.iterdir()) and not overwrite:
            raise CommandError(f"--out: the folder {folder} is not empty; choose another or give --overwrite.")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"--out: the folder {folder} cannot be used ({error.strerror}).") from error


def clear(folder: Path, patterns: Iterable[str]) -> None:
    """Removes the files in `folder` that match, which an earlier report left."""
    for pattern in patterns:
        for file in folder.glob(pattern):
            file.unlink()


def _is_missing(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is None
    except ValueError:
        return True
