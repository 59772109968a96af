"""What stands in for SMAC does what the real package was found to do where that is odd."""

from collections.abc import Iterator
from typing import Any

import pytest
from installed_starcraft import StarCraft


@pytest.fixture
def simulated(starcraft: StarCraft) -> Iterator[Any]:
    from smac.env import StarCraft2Env

    made = []

    def make(**options: Any) -> Any:
        made.append(StarCraft2Env(map_name="3m", **options))
        return made[-1]

    yield make
    for environment in made:
        environment.close()


def stop_all(environment: Any) -> tuple[float, bool, dict[str, Any]]:
    return environment.step([1 if unit.health > 0 else 0 for unit in environment.agents.values()])


def test_a_crash_looks_like_an_end_and_launches_twice_in_the_first_battle(starcraft: StarCraft, simulated: Any):
    environment = simulated()
    environment.reset()
    starcraft.crash()
    assert stop_all(environment) == (0, True, {})
    [second] = starcraft.wait_for(1)
    environment.reset()
    assert starcraft.wait_for(1) != [second]
    assert environment.get_env_info()["n_agents"] == 3


def test_a_fault_in_the_first_observation(simulated: Any, monkeypatch: pytest.MonkeyPatch):
    from pysc2.lib import protocol
    from pysc2.lib.remote_controller import RemoteController

    def silent(controller: Any) -> None:
        raise protocol.ConnectionError

    monkeypatch.setattr(RemoteController, "observe", silent)
    with pytest.raises(KeyError):
        simulated().reset()


def test_it_does_not_stay_closed(starcraft: StarCraft, simulated: Any):
    environment = simulated()
    environment.reset()
    environment.close()
    starcraft.wait_for(0)
    stop_all(environment)
    starcraft.wait_for(1)


@pytest.mark.parametrize("continuing", [False, True])
def test_the_limit_counts_as_an_end(simulated: Any, continuing: bool):
    environment = simulated(continuing_episode=continuing, obs_timestep_number=True)
    with pytest.raises(ZeroDivisionError):
        environment.get_stats()
    observations, _ = environment.reset()
    assert len(observations[0]) == environment.get_env_info()["obs_shape"] + 1
    environment.episode_limit = 2
    assert stop_all(environment)[1] is False
    _, over, info = stop_all(environment)
    assert over
    assert ("episode_limit" in info) == continuing
    assert environment.get_stats()["timeouts"] == 1
    with pytest.raises(AssertionError, match="cannot perform action 0"):
        environment.step([0, 1, 1])
    with pytest.raises(TypeError):
        environment.render()
    with pytest.raises(TypeError):
        environment.reset(seed=1)
