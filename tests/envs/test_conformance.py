"""Every registered environment is what algorithms may count on: no error and no warning of `rllib check-env`."""

import runpy
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ray.rllib.env.env_context import EnvContext

from rllib_mamba.checking import (
    Report,
    Severity,
    check_environment,
    common,
    construction,
    ends,
    facts,
    masks,
    observations,
    rewards,
    seeds,
    training,
)
from rllib_mamba.checking.checker import STANDING_CHECKS
from rllib_mamba.checking.evidence import Evidence
from rllib_mamba.registry import environment_names, make_environment

SMAC = Path(__file__).parent / "smac"

ASPECTS: dict[str, tuple[ModuleType, ...]] = {
    "spaces": (construction, observations),
    "masks": (masks,),
    "seeds": (seeds,),
    "ends and dead agents": (ends,),
    "rewards, states, metrics": (rewards, common, facts),
    "training": (training,),
}

#: Played for whole episodes.
WHOLE = ("symbol_game", "flatland_debug", "flatland_5_agents", "smax_3m", "smax_smacv2_5_units", "smac_3m", "smac_MMM")
#: Played for a few steps: their episodes are long.
SHORT = ("flatland_10_agents", "flatland_20_agents")
SHORT_STEPS = 12
#: What random play has to come by, so that the checks have something to look at.
GIVES_ACTION_MASKS = ("smax_3m", "smax_smacv2_5_units", "smac_3m", "smac_MMM")
AGENTS_END_EARLY = ("flatland_5_agents",)


@pytest.fixture(scope="module", autouse=True)
def starcraft(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """StarCraft II and SMAC are stood in for."""
    stand_in = runpy.run_path(str(SMAC / "installed_starcraft.py"))
    installed = stand_in["StarCraft"](tmp_path_factory.mktemp("smac") / "StarCraftII")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SC2PATH", str(installed.folder))
        patch.syspath_prepend(stand_in["STAND_IN"])
        yield
        stand_in["forget_packages"]()
    # No game is left running.
    installed.wait_for(0, seconds=5)


def made(name: str) -> Any:
    """The environment, or a skipped test where its package or the map of the game is not installed."""
    try:
        return make_environment(name, EnvContext({}, worker_index=1))
    except ImportError as error:
        pytest.skip(f"not installed: {error}")
    except ValueError as error:
        if "has no map" not in str(error):
            raise
        pytest.skip(f"not a map of the stand-in: {error}")


@cache
def report_on(name: str) -> Report:
    settings = {"episodes": 1, "step_limit": SHORT_STEPS} if name in SHORT else {"episodes": 2}
    return check_environment(name, **settings)


@pytest.mark.parametrize("name", environment_names())
def test_agents_and_their_spaces(name: str):
    env = made(name)
    try:
        evidence = Evidence.of(env, step_limit=0)
        found = [finding for check in STANDING_CHECKS for finding in check(evidence)]
        assert [finding for finding in found if finding.severity is not Severity.NOTE] == []
        assert list(evidence.spaces) == env.possible_agents
    finally:
        env.close()


@pytest.mark.parametrize("aspect", ASPECTS)
@pytest.mark.parametrize("name", [*WHOLE, *SHORT])
def test_nothing_would_go_wrong_in_training(name: str, aspect: str):
    made(name).close()
    checks = {check for module in ASPECTS[aspect] for check in vars(module)}
    # How fast it is depends on what else the machine does; a few steps are no episode.
    checks -= {"speed_is_bearable", "episodes_end"} if name in SHORT else {"speed_is_bearable"}
    found = [finding for finding in report_on(name).findings if finding.check in checks]
    assert [finding for finding in found if finding.severity is not Severity.NOTE] == []


def test_every_check_belongs_to_an_aspect():
    from rllib_mamba.checking.checker import EPISODE_CHECKS

    modules = {module.__name__ for aspect in ASPECTS.values() for module in aspect}
    assert {check.__module__ for check in (*STANDING_CHECKS, *EPISODE_CHECKS)} <= modules


@pytest.mark.parametrize("name", WHOLE)
def test_there_was_something_to_look_at(name: str):
    made(name).close()
    told = report_on(name).facts
    assert "left" not in told["episodes"]
    assert ("action masks" in told["gives"]) == (name in GIVES_ACTION_MASKS)
    assert told["deaths"].endswith("ended before their episode did") or name not in AGENTS_END_EARLY
