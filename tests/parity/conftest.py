"""Recorded numbers of the original implementation, one fixture per recorded learner."""

import pytest
from recordings import DIRECTORY, SUFFIX, Recording, recording_names


@pytest.fixture(scope="session", params=recording_names() or [None])
def recording(request: pytest.FixtureRequest) -> Recording:
    """Each recorded learner in turn."""
    if request.param is None:
        pytest.fail(f"No files learner_*{SUFFIX} in {DIRECTORY} (set by RLLIB_MAMBA_PARITY_DIR if at all).")
    return Recording(request.param)
