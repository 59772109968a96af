"""Fixtures of SMAC without StarCraft II."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from installed_starcraft import STAND_IN, StarCraft, forget_packages


@pytest.fixture
def starcraft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StarCraft]:
    """StarCraft II is installed, and SMAC and SMACv2; no game may be left at the end of the test."""
    installed = StarCraft(tmp_path / "StarCraftII")
    monkeypatch.setenv("SC2PATH", str(installed.folder))
    monkeypatch.syspath_prepend(STAND_IN)
    yield installed
    forget_packages()
    installed.wait_for(0, seconds=5)


@pytest.fixture
def make(starcraft: StarCraft) -> Iterator[Callable[..., Any]]:
    """Makes environments, 3m unless told otherwise, and closes them at the end."""
    from rllib_mamba.envs.smac import SMACEnv

    made = []

    def make_environment(context: Any = None, **options: Any) -> Any:
        config = {"map_name": "3m", **options}
        environment = SMACEnv(context.copy_with_overrides(env_config=config) if context is not None else config)
        made.append(environment)
        return environment

    yield make_environment
    for environment in made:
        environment.close()
