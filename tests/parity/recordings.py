"""Access to the recorded files."""

import json
import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

DIRECTORY = Path(os.environ.get("RLLIB_MAMBA_PARITY_DIR", Path(__file__).parent / "data"))
SUFFIX = "_weights.npz"


class Recording:
    """The files `<name>_*.npz` and `<name>.json` of one recorded learner."""

    def __init__(self, name: str) -> None:
        self.name = name

    def arrays(self, part: str) -> dict[str, np.ndarray]:
        """The arrays of `<name>_<part>.npz`."""
        with np.load(DIRECTORY / f"{self.name}_{part}.npz") as archive:
            return dict(archive)

    def tensors(self, part: str) -> dict[str, Tensor]:
        """The same as tensors."""
        return {key: torch.from_numpy(np.asarray(array)) for key, array in self.arrays(part).items()}

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """All recorded parameters."""
        return self.tensors("weights")

    @cached_property
    def scalars(self) -> dict[str, Any]:
        """Sizes, hyper-parameters and scalar results."""
        return json.loads((DIRECTORY / f"{self.name}.json").read_text())


def recording_names() -> list[str]:
    """Names of the recorded learners."""
    return sorted(path.name.removesuffix(SUFFIX) for path in DIRECTORY.glob(f"learner_*{SUFFIX}"))
