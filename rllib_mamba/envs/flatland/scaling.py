"""The features of the tree on scales that a small network can read.

In the paper's features distances are d / 100 - 10 and absent ones 0: a cell more or less is a thousandth of the number.
Here every distance d becomes a nearness 1 - 2 d / range in [-1, 1], which is -1 from `range` cells on and where there
is nothing: the distances to the target, to the first train and to the end of a branch, and the detour that a branch
means. The gain in target distance at the end of a branch is in units of `BRANCH_DISTANCE_RANGE`. All other features are
left as they are.
"""

import numpy as np

from rllib_mamba.envs.flatland.observation import BRANCH_FEATURES, BRANCHES, OBSERVATION_SIZE, ROOT_FEATURES

TARGET_DISTANCE_RANGE = 100.0
BRANCH_DISTANCE_RANGE = 50.0
DETOUR_RANGE = 5.0

_CELLS_PER_UNIT = 100.0
_ROOT_TARGET_DISTANCE = 5
_BRANCH_EXISTS, _BRANCH_DISTANCES, _BRANCH_GAIN, _BRANCH_DETOUR = (0,), (1, 2), (4,), (5,)


def _branch_columns(features: tuple[int, ...]) -> np.ndarray:
    starts = ROOT_FEATURES + BRANCH_FEATURES * np.arange(BRANCHES)
    return (starts[:, None] + np.array(features)).ravel()


_DISTANCES = np.concatenate([[_ROOT_TARGET_DISTANCE], _branch_columns(_BRANCH_DISTANCES)])
_RANGES = np.full(len(_DISTANCES), BRANCH_DISTANCE_RANGE, np.float32)
_RANGES[0] = TARGET_DISTANCE_RANGE
_EXISTS, _GAINS, _DETOURS = (_branch_columns(features) for features in (_BRANCH_EXISTS, _BRANCH_GAIN, _BRANCH_DETOUR))


def scaled(observations: np.ndarray) -> np.ndarray:
    """Observations (..., 205) float32 of the paper on the scales above; a new array."""
    assert observations.shape[-1] == OBSERVATION_SIZE
    result = observations.copy()
    distances = observations[..., _DISTANCES]
    # Zero stands for an unreachable distance, and on a branch for a train that is not there.
    result[..., _DISTANCES] = np.where(distances == 0.0, -1.0, _nearness(_CELLS_PER_UNIT * (distances + 10.0), _RANGES))
    result[..., _GAINS] = np.clip(observations[..., _GAINS] * (_CELLS_PER_UNIT / BRANCH_DISTANCE_RANGE), -1.0, 1.0)
    detours = _CELLS_PER_UNIT * observations[..., _DETOURS]
    result[..., _DETOURS] = np.where(observations[..., _EXISTS] == 0.0, -1.0, _nearness(detours, DETOUR_RANGE))
    return result


def _nearness(distance: np.ndarray, distance_range: np.ndarray | float) -> np.ndarray:
    return np.clip(1.0 - 2.0 * distance / distance_range, -1.0, 1.0)
