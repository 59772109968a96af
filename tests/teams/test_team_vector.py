import gc
from functools import partial
from typing import Any

import numpy as np
import pytest
from ray.rllib.env.env_context import EnvContext
from ray.rllib.env.vector.sync_vector_multi_agent_env import SyncVectorMultiAgentEnv
from scripted import LifeEnv, runner_config

from rllib_mamba.teams import TEAM_SETUP_KEY, ConfiguredTeamEnv, TeamSetup
from rllib_mamba.teams.env_runner import TeamEnvRunner
from rllib_mamba.teams.vector import TwoPhaseVectorEnv

TEAMS = {"all": tuple(f"{kind}_{number}" for kind in LifeEnv.kinds for number in range(2))}


phases: list[tuple[str, int]] = []
"""What the environments of a test were asked to do, and which."""


@pytest.fixture(autouse=True)
def nothing_asked_yet() -> None:
    phases.clear()


class TwoPhaseLife(LifeEnv):
    """Steps in two phases."""

    closed = False

    def step_async(self, action_dict: dict[str, int]) -> None:
        phases.append(("hand in", self.place[1]))
        self.actions = action_dict

    def step_wait(self) -> tuple[Any, ...]:
        phases.append(("wait", self.place[1]))
        return super().step(self.actions)

    def step(self, action_dict: dict[str, int]) -> tuple[Any, ...]:
        raise AssertionError("stepped in one phase")

    def close(self) -> None:
        self.closed = True


def make(env_class: type[LifeEnv], index: int = 0, **config: Any) -> ConfiguredTeamEnv:
    setup = {TEAM_SETUP_KEY: TeamSetup(env_class, TEAMS)}
    return ConfiguredTeamEnv(EnvContext({**setup, **config}, worker_index=1, vector_index=index))


def vector_of(*makers: Any) -> TwoPhaseVectorEnv:
    return TwoPhaseVectorEnv(SyncVectorMultiAgentEnv(list(makers)))


def plain(value: Any) -> Any:
    """Nested results with lists in place of arrays."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.dtype == object):
        return [plain(item) for item in value]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def actions_of(step: int) -> list[dict[str, np.ndarray]]:
    return [{"all": np.full(6, (step + index) % 2)} for index in range(3)]


@pytest.mark.parametrize("kind", [LifeEnv, TwoPhaseLife])
def test_gives_what_rllibs_vector_gives(kind: type[LifeEnv]):
    # Of unequal lengths, so that some are reset while others step.
    lengths = [(2, False), (3, True), (6, False)]
    configs = [{"length": length, "cut": cut} for length, cut in lengths]
    ours = vector_of(*(partial(make, kind, index, **config) for index, config in enumerate(configs)))
    rllibs = SyncVectorMultiAgentEnv([partial(make, LifeEnv, index, **config) for index, config in enumerate(configs)])
    assert plain(ours.reset(seed=5)) == plain(rllibs.reset(seed=5))
    assert [env.unwrapped.env.seeds for env in ours.envs] == [env.unwrapped.env.seeds for env in rllibs.envs]
    for step in range(9):
        assert plain(ours.step(actions_of(step))) == plain(rllibs.step(actions_of(step)))


def test_actions_are_handed_in_before_anything_is_waited_for():
    two_phase = [partial(make, TwoPhaseLife, index, length=2 + index) for index in range(2)]
    env = vector_of(*two_phase, partial(make, LifeEnv, 2))
    env.reset()
    env.step(actions_of(0))
    assert phases == [("hand in", 0), ("hand in", 1), ("wait", 0), ("wait", 1)]
    env.step(actions_of(1))
    phases.clear()
    # The first one's episode is over: it is reset.
    env.step(actions_of(2))
    assert phases == [("hand in", 1), ("wait", 1)]


def test_results_stay_as_they_are():
    env = vector_of(partial(make, LifeEnv, length=3))
    kept = [env.reset()[0]]
    seen = [plain(kept[0])]
    for step in range(5):
        kept.append(env.step(actions_of(step)[:1])[0])
        seen.append(plain(kept[-1]))
    assert plain(kept) == seen


def test_environments_taken_over_are_closed_once_and_by_the_new_vector():
    old = SyncVectorMultiAgentEnv([partial(make, TwoPhaseLife)])
    inner = old.envs[0].env
    env = TwoPhaseVectorEnv(old)
    del old
    gc.collect()
    assert not inner.closed
    env.close()
    assert inner.closed


def test_env_runner_steps_in_two_phases():
    config = runner_config(TEAMS).env_runners(num_envs_per_env_runner=3, rollout_fragment_length=4)
    setup = {TEAM_SETUP_KEY: TeamSetup(TwoPhaseLife, TEAMS), "length": 50}
    runner = TeamEnvRunner(config=config.environment(env_config=setup), worker_index=1)
    episodes = runner.sample(num_timesteps=12)
    assert sum(len(episode) for episode in episodes) == 12
    assert phases == [(phase, index) for _ in range(4) for phase in ("hand in", "wait") for index in range(3)]
