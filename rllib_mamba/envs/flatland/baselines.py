"""Policies to compare with: functions of an observation, so that they need nothing but the environment's interface."""

import numpy as np

from rllib_mamba.envs.flatland.decisions import FIRST_BRANCH, SECOND_BRANCH
from rllib_mamba.envs.flatland.observation import BRANCH_FEATURES, ROOT_FEATURES

_IS_REAL = 0
_DISTANCE_THROUGH_BRANCH = 5


def shortest_path_action(observation: np.ndarray) -> int:
    """The action that takes the branch with the shorter way to the target; it never stops.

    `observation` is one train's, (205,).
    """
    first = observation[ROOT_FEATURES:]
    second = first[BRANCH_FEATURES:]
    if second[_IS_REAL] and second[_DISTANCE_THROUGH_BRANCH] < first[_DISTANCE_THROUGH_BRANCH]:
        return SECOND_BRANCH
    return FIRST_BRANCH
