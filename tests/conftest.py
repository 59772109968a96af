import os
from collections.abc import Iterator

# One thread in every process: sums in float32 depend on their number, and the machine's cores are shared by the
# processes of a cluster. Set before torch is imported.
os.environ["OMP_NUM_THREADS"] = "1"
# RLlib imports jax in every process just in case.
os.environ["RLLIB_TEST_NO_JAX_IMPORT"] = "1"
# What is compiled here runs for a moment; compiling it well takes longer.
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"

import pytest
import ray

CPUS = 4


@pytest.fixture(scope="module")
def ray_cluster() -> None:
    """The cluster with four logical CPUs that all tests share which need no other."""
    if ray.is_initialized() and ray.cluster_resources().get("CPU") != CPUS:
        ray.shutdown()
    if not ray.is_initialized():
        ray.init(address="local", num_cpus=CPUS, num_gpus=0, include_dashboard=False, log_to_driver=False)


@pytest.fixture(scope="session", autouse=True)
def no_cluster_is_left() -> Iterator[None]:
    """Ends with the tests what they have started."""
    yield
    ray.shutdown()
