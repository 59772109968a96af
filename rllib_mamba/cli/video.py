"""Writes the frames of an episode as MP4, or as GIF where there is no encoder for MP4."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rllib_mamba.cli.errors import CommandError, UsageError, one_line


def check_video(folder: Path) -> None:
    """Raises UsageError where imageio is missing, CommandError where `folder` cannot be made."""
    if importlib.util.find_spec("imageio") is None:
        raise UsageError('--video-dir needs the package imageio: pip install "rllib-mamba[reports]"')
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"the folder for videos {folder} cannot be made ({error.strerror}).") from error


def write_video(frames: Sequence[np.ndarray], folder: Path, name: str, frames_per_second: float) -> Path:
    """Writes `frames`, each (height, width, 3) uint8, into `folder`; returns the file.

    Raises CommandError where it cannot be written.
    """
    import imageio.v2 as imageio

    try:
        if importlib.util.find_spec("imageio_ffmpeg") is not None:
            path = folder / f"{name}.mp4"
            imageio.mimwrite(path, [_even(frame) for frame in frames], fps=frames_per_second, macro_block_size=1)
        else:
            path = folder / f"{name}.gif"
            imageio.mimwrite(path, list(frames), duration=1000 / frames_per_second)
    except (OSError, ValueError, RuntimeError) as error:
        raise CommandError(f"the video {path} cannot be written: {one_line(str(error))}") from error
    return path


def _even(frame: np.ndarray) -> np.ndarray:
    # H.264 stores colours for blocks of two by two pixels.
    height, width = frame.shape[:2]
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
