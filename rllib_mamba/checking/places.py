"""Where in the user's code something was raised."""

from __future__ import annotations

import traceback
from pathlib import Path

_OURS = Path(__file__).parent


def innermost_file(failure: BaseException) -> str:
    """The file in which it was raised."""
    return traceback.extract_tb(failure.__traceback__)[-1].filename


def raised_at(failure: BaseException) -> str:
    """ " (file:line, in function)" of the innermost line outside of the checks; empty where there is none."""
    frames = [frame for frame in traceback.extract_tb(failure.__traceback__) if Path(frame.filename).parent != _OURS]
    return f" ({frames[-1].filename}:{frames[-1].lineno}, in {frames[-1].name})" if frames else ""
