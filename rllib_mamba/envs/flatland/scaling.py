"""The 205 features on scales that a small network can read.

In the paper's features distances are d / 100 - 10 and absent ones 0: a cell more or less is a thousandth of the number.
Here a distance d becomes the nearness 1 - 2 d / range in [-1, 1], -1 from `range` on and where there is none, and the
differences of target distances are multiplied so that `DIFFERENCE_RANGE` cells count as one, within [-1, 1]. All other
features are left as they are.
"""

import numpy as np

from rllib_mamba.envs.flatland.observation import BRANCH_FEATURES, BRANCHES, OBSERVATION_SIZE, ROOT_FEATURES

TARGET_DISTANCE_RANGE = 100.0
BRANCH_DISTANCE_RANGE = 50.0
DIFFERENCE_RANGE = 20.0

_ROOT_TARGET_DISTANCE = 5
_BRANCH_DISTANCES = (1, 2)
_BRANCH_DIFFERENCES = (4, 5)


def _branch_columns(features: tuple[int, ...]) -> np.ndarray:
    starts = ROOT_FEATURES + BRANCH_FEATURES * np.arange(BRANCHES)
    return (starts[:, None] + np.array(features)).ravel()


_DISTANCES = np.concatenate([[_ROOT_TARGET_DISTANCE], _branch_columns(_BRANCH_DISTANCES)])
_RANGES = np.full(len(_DISTANCES), BRANCH_DISTANCE_RANGE, np.float32)
_RANGES[0] = TARGET_DISTANCE_RANGE
_DIFFERENCES = _branch_columns(_BRANCH_DIFFERENCES)


def scaled(observations: np.ndarray) -> np.ndarray:
    """Observations (..., 205) float32 of the paper on the scales above; a new array."""
    assert observations.shape[-1] == OBSERVATION_SIZE
    result = observations.copy()
    features = observations[..., _DISTANCES]
    nearness = 1.0 - 2.0 * 100.0 * (features + 10.0) / _RANGES
    # Zero stands for an unreachable distance, and on a branch for a train that is not there.
    result[..., _DISTANCES] = np.where(features == 0.0, -1.0, np.clip(nearness, -1.0, 1.0))
    result[..., _DIFFERENCES] = np.clip(observations[..., _DIFFERENCES] * (100.0 / DIFFERENCE_RANGE), -1.0, 1.0)
    return result
