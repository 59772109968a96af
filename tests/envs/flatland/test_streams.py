"""Each env runner, and each of its environments, has a stream of maps of its own."""

from typing import Any

import pytest

pytest.importorskip("flatland")

from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner

from rllib_mamba import MAMBAConfig
from rllib_mamba.envs.flatland import FlatlandEnv
from rllib_mamba.teams.env_runner import TeamEnvRunner

EPISODES = 3


def maps(runner: Any) -> list[bytes]:
    """The maps of the first episodes of an env runner's two environments."""
    seen = []
    environments = [environment.unwrapped for environment in runner.env.envs]
    seeds = [runner._seed, *[None] * (EPISODES - 1)]
    for seed in seeds:
        runner.env.reset(seed=seed)
        inner = [
            environment if isinstance(environment, FlatlandEnv) else environment.env for environment in environments
        ]
        seen += [environment.rail_env.rail.grid.tobytes() for environment in inner]
    return seen


@pytest.mark.parametrize(("seed", "env_seed"), [(7, None), (None, 7)], ids=["run's seed", "environment's seed"])
def test_no_two_environments_of_mamba_see_the_same_maps(seed: int | None, env_seed: int | None) -> None:
    def runners() -> list[Any]:
        config = (
            MAMBAConfig()
            .environment("flatland_debug", env_config={"seed": env_seed})
            .preset("debug")
            .env_runners(num_env_runners=2, num_envs_per_env_runner=2)
            .debugging(seed=seed)
        )
        config.validate()
        return [TeamEnvRunner(config=config, worker_index=index) for index in (1, 2)]

    first = [maps(runner) for runner in runners()]
    assert len({grid for grids in first for grid in grids}) == 2 * 2 * EPISODES
    again = [maps(runner) for runner in runners()]
    assert first == again


def test_no_two_environments_of_ppo_see_the_same_maps() -> None:
    config = (
        PPOConfig()
        .environment("flatland_debug")
        .multi_agent(policies={"train"}, policy_mapping_fn=lambda *_, **__: "train")
        .env_runners(num_env_runners=2, num_envs_per_env_runner=2)
        .debugging(seed=7)
    )
    runners = [MultiAgentEnvRunner(config=config, worker_index=index) for index in (1, 2)]
    assert len({grid for runner in runners for grid in maps(runner)}) == 2 * 2 * EPISODES
