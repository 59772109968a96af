"""Who may hear whom: a train hears the trains that it met on its tree."""

from collections.abc import Sequence

import numpy as np

from rllib_mamba.envs.flatland.observation import NOBODY


class EncounterMemory:
    """Communication masks from the trains met, with the timing of the original implementation.

    There, a train in forced control was given its mask before its tree was looked at again, so its row is that of one
    step earlier; and the row of a deadlocked train stays what it was when the deadlock began.

    Args:
        number_of_trains: of the episode.
        size: rows and columns of the masks, those of trains that are not in the episode included.
    """

    def __init__(self, number_of_trains: int, size: int) -> None:
        self._met: list[tuple[int, ...]] = [()] * number_of_trains
        self._size = size

    def mask(
        self, met: Sequence[tuple[int, ...]], forced: Sequence[bool], deadlocked_before: Sequence[bool]
    ) -> np.ndarray:
        """Mask (size, size) int8 for this step: 1 at [i, j] where train i may hear train j, itself included.

        `met` are the trains met in this step's trees; `deadlocked_before` the deadlocks known a step ago.
        """
        mask = np.eye(self._size, dtype=np.int8)
        for handle in range(len(met)):
            heard = self._met[handle]
            if not deadlocked_before[handle]:
                self._met[handle] = met[handle]
                if not forced[handle]:
                    heard = met[handle]
            for other in heard:
                if other != NOBODY:
                    mask[handle, other] = 1
        return mask
