"""What jax does to the process that it is loaded in."""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("jaxmarl")

IMPORT = """
import json, os, sys
from pathlib import Path
from rllib_mamba.registry import make_environment
from rllib_mamba.envs.smax import runtime
result = {"imported before": [name for name in ("jax", "jaxmarl") if name in sys.modules]}
"""

# RLlib does it, too, wherever jax is installed.
LOAD = """
import jax
environment = dict(os.environ)
runtime.load_jax()
result["same environment"] = environment == dict(os.environ)
result["devices"] = [device.platform for device in jax.devices()]
result["platforms"] = jax.config.jax_platforms
"""

REPORT = "print(json.dumps(result))"

# Forty sums of its own each, which jax would hand to as many threads as it has.
COMPUTE = """
def work(x):
    return [jax.numpy.sort(x * number).sum() for number in range(40)]

def seconds_of_threads():
    ticks = {}
    for thread in Path("/proc/self/task").iterdir():
        fields = (thread / "stat").read_text().rpartition(")")[2].split()
        ticks[thread.name] = int(fields[11]) + int(fields[12])
    return ticks

compiled = jax.jit(work).lower(jax.numpy.arange(3000.0)).compile()
before = seconds_of_threads()
for number in range(150):
    jax.block_until_ready(compiled(jax.numpy.arange(3000.0)))
ticks = {name: ticks - before.get(name, 0) for name, ticks in seconds_of_threads().items()}
result["ticks"] = sorted(ticks.values(), reverse=True)
"""

STREAMS = """
class Stream(type(sys.stdout)):
    pass

output, errors, first_output = sys.stdout, sys.stderr, sys.__stdout__
sys.stdout = mine = Stream(output.buffer)
runtime.load_smax()
result["same streams"] = sys.stdout is mine and sys.stderr is errors and sys.__stdout__ is first_output
"""


# In a child, because jax looks for its devices once in a process.
PLATFORM_OF_THE_USER = """
child = os.fork()
if not child:
    os.environ["JAX_PLATFORMS"] = "nowhere"
    try:
        runtime.load_jax()
    except RuntimeError as error:
        os._exit(7 if "nowhere" in str(error) else 1)
    os._exit(1)
result["user's platform"] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
"""


def test_jax_is_imported_late_and_quietly_and_keeps_to_itself():
    environment = {name: value for name, value in os.environ.items() if name not in ("NPROC", "JAX_PLATFORMS")}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join([IMPORT, PLATFORM_OF_THE_USER, LOAD, COMPUTE, STREAMS, REPORT])],
        env={
            **environment,
            "XLA_FLAGS": "--xla_force_host_platform_device_count=1",
            # Otherwise RLlib would import jax.
            "RLLIB_TEST_NO_JAX_IMPORT": "1",
        },
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    # Nothing else is printed.
    result = json.loads(done.stdout)
    ticks = result.pop("ticks")
    assert result == {
        "imported before": [],
        "user's platform": True,
        "same environment": True,
        "same streams": True,
        "devices": ["cpu"],
        "platforms": "cpu",
    }
    # The thread that calls and one that helps.
    assert sum(ticks) > 20
    assert sum(ticks[2:]) <= 0.05 * sum(ticks)
