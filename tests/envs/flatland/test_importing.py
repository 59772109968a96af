"""What importing Flatland must not change."""

import subprocess
import sys

PROGRAM = """
import msgpack
import numpy as np

before = dict(vars(msgpack))
from rllib_mamba.envs.flatland import FlatlandEnv

assert "flatland.envs.persistence" in __import__("sys").modules, "flatland-rl no longer imports what patches msgpack"
changed = [name for name in before if vars(msgpack)[name] is not before[name]]
assert not changed, changed
try:
    msgpack.packb(np.zeros(2))
except TypeError:
    pass
else:
    raise AssertionError("msgpack writes arrays, which Ray's other processes cannot read")
"""


def test_ray_goes_on_sending_arrays_that_every_process_can_read() -> None:
    """Arrays sent to a process without flatland-rl, such as a remote learner, arrive as arrays."""
    subprocess.run([sys.executable, "-W", "ignore", "-c", PROGRAM], check=True, timeout=120)
