"""Importing flatland-rl without what it does to the rest of the process."""

from collections.abc import Iterator
from contextlib import contextmanager

import msgpack


@contextmanager
def msgpack_left_alone() -> Iterator[None]:
    """Undoes what is done to the functions of msgpack meanwhile.

    flatland-rl makes msgpack write numpy arrays in a way of its own, for the whole process. Ray sends its objects with
    msgpack, and a process without flatland-rl, such as a remote learner, cannot read those arrays.
    """
    before = dict(vars(msgpack))
    try:
        yield
    finally:
        vars(msgpack).update(before)
