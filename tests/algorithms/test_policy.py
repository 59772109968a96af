"""The trained team in use, without a cluster."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from play import module_step, play
from ray.rllib.core.rl_module.rl_module import RLModule
from runs import two_teams
from signals import SIZES, Signals

from rllib_mamba import MAMBA, MAMBAPolicy
from rllib_mamba.teams.team_env import TeamEnv

pytestmark = pytest.mark.usefixtures("ray_cluster")

MODULES = "learner_group/learner/rl_module"


@pytest.fixture(scope="module")
def policy(signals_checkpoint: Path) -> MAMBAPolicy:
    return MAMBAPolicy.from_checkpoint(signals_checkpoint)


@pytest.fixture(scope="module")
def module(signals_checkpoint: Path) -> RLModule:
    return RLModule.from_checkpoint(signals_checkpoint / MODULES / "team")


@pytest.fixture(scope="module")
def algorithm(signals_checkpoint: Path) -> Iterator[MAMBA]:
    algorithm = MAMBA.from_checkpoint(signals_checkpoint)
    yield algorithm
    algorithm.stop()


def test_without_a_cluster_it_acts_as_the_module_does(exported: Path) -> None:
    """Played in a process of its own, in which no Ray ever ran."""
    assert (exported / "games.pkl").stat().st_size > 10_000


@pytest.mark.parametrize("greedy", [True, False])
def test_that_of_a_running_algorithm_acts_as_its_module_does(greedy: bool, algorithm: MAMBA, module: RLModule) -> None:
    assert play(module, algorithm.get_policy("team"), greedy, seed=5) > 100


def test_it_is_a_copy(algorithm: MAMBA, build: Callable) -> None:
    policy = algorithm.get_policy()
    before = policy.get_weights()
    algorithm.train()
    for name, value in policy.get_weights().items():
        np.testing.assert_array_equal(value, before[name])
    after = algorithm.get_policy().get_weights()
    assert any(not np.array_equal(after[name], before[name]) for name in before)


def test_samples_vary_and_greedy_actions_do_not(policy: MAMBAPolicy) -> None:
    env = Signals()
    observations, infos = env.reset(seed=1)
    first_actions = []
    for greedy in (True, False):
        seen = set()
        for seed in range(40):
            torch.manual_seed(seed)
            policy.reset(1)
            seen.add(tuple(policy.act(observations, infos, greedy=greedy).items()))
        first_actions.append(seen)
    assert len(first_actions[0]) == 1
    assert len(first_actions[1]) > 1


def test_it_remembers_within_an_episode_and_forgets_between_them(policy: MAMBAPolicy) -> None:
    env = Signals()
    observations, infos = env.reset(seed=2)
    policy.reset(1)
    policy.act(observations, infos)
    first = policy._state.deterministic.clone()
    policy.act(observations, infos)
    assert not torch.equal(policy._state.deterministic, first)
    policy.reset()
    policy.act(observations, infos)
    assert torch.equal(policy._state.deterministic, first)


def test_an_ended_agent_gets_no_action_until_the_next_episode(policy: MAMBAPolicy) -> None:
    env = Signals()
    observations, infos = env.reset(seed=3)
    policy.reset(2)
    both = [observations, observations]
    assert [set(actions) for actions in policy.act_in_all(both, [infos, infos])] == [{"scout", "heavy_1"}] * 2
    policy.end({"scout": True, "heavy_0": False, "__all__": False}, environment=1)
    assert [set(actions) for actions in policy.act_in_all(both, [infos, infos])] == [
        {"scout", "heavy_1"},
        {"heavy_1"},
    ]
    policy.reset(environments=[1])
    assert [set(actions) for actions in policy.act_in_all(both, [infos, infos])] == [{"scout", "heavy_1"}] * 2


def test_it_answers_the_policy_interface(policy: MAMBAPolicy, module: RLModule) -> None:
    envs = [TeamEnv(Signals(), {"team": list(SIZES)}) for _ in range(2)]
    observed = [env.reset(seed=seed)[0]["team"] for seed, env in enumerate(envs)]
    state = {name: np.stack([part, part]) for name, part in module.get_initial_state().items()}
    states = [np.stack([part, part]) for part in policy.get_initial_state()]
    for explore in (False, True, False):
        batch = {key: np.stack([one[key] for one in observed]) for key in observed[0]}
        torch.manual_seed(7)
        expected, state = module_step(module, observed, state, greedy=not explore)
        torch.manual_seed(7)
        actions, states, extra = policy.compute_actions(batch, states, explore=explore)
        np.testing.assert_array_equal(actions, expected)
        for part, wanted in zip(states, state.values(), strict=True):
            np.testing.assert_array_equal(part, wanted)
        assert extra == {}
        observed = [env.step({"team": one})[0]["team"] for env, one in zip(envs, actions, strict=True)]
    batch = {key: np.stack([one[key] for one in observed]) for key in observed[0]}
    without_state, _, _ = policy.compute_actions(batch)
    initial, _ = module_step(
        module, observed, {name: np.stack([part] * 2) for name, part in module.get_initial_state().items()}, True
    )
    np.testing.assert_array_equal(without_state, initial)


def test_weights_can_be_read_and_replaced(signals_checkpoint: Path, policy: MAMBAPolicy) -> None:
    other = MAMBAPolicy.from_checkpoint(signals_checkpoint)
    weights = other.get_weights()
    changed = {name: value + 1 for name, value in weights.items()}
    other.set_weights(changed)
    for name, value in other.get_weights().items():
        np.testing.assert_array_equal(value, weights[name] + 1)
    other.set_weights(policy.get_weights())
    assert all(np.array_equal(value, weights[name]) for name, value in other.get_weights().items())
    with pytest.raises(RuntimeError, match="Missing key"):
        other.set_weights({})


# ---------------------------------------------------------------------- bad input


def test_with_several_teams_one_has_to_be_named(killed_run: Path, build: Callable) -> None:
    checkpoint = killed_run / "two_teams" / "checkpoint"
    pair = MAMBAPolicy.from_checkpoint(checkpoint, team="pair")
    assert [layout.agent for layout in pair.layout.agents] == ["player_0", "player_1"]
    for team, message in ((None, "Name one of the teams"), ("trio", "There is no trained team 'trio'")):
        with pytest.raises(ValueError, match=rf"{message}: .* has \['lone', 'pair'\]"):
            MAMBAPolicy.from_checkpoint(checkpoint, team=team)
    algorithm = build(two_teams())
    with pytest.raises(ValueError, match=r"There is no trained team 'trio': this algorithm has \['lone', 'pair'\]"):
        algorithm.get_policy("trio")


def test_observations_that_do_not_fit_are_named(policy: MAMBAPolicy) -> None:
    observations, infos = Signals().reset(seed=1)
    policy.reset(1)
    scout = observations["scout"]
    bad = [
        ({"spy": scout}, "Unknown agents .*'spy'"),
        ({"scout": {**scout, "observation": np.zeros(3, np.float32)}}, "agent 'scout' does not fit"),
        ({"scout": {**scout, "observation": np.array([0, np.nan], np.float32)}}, "agent 'scout' holds a NaN"),
        ({"scout": {**scout, "action_mask": np.zeros(3, np.int8)}}, "agent 'scout' must name at least one legal"),
    ]
    for change, message in bad:
        with pytest.raises(ValueError, match=message):
            policy.act({**observations, **change}, infos)
    with pytest.raises(ValueError, match="2 environments were given"):
        policy.act_in_all([observations, observations])


def test_a_checkpoint_that_is_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no checkpoint directory"):
        MAMBAPolicy.from_checkpoint(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="is no algorithm checkpoint"):
        MAMBAPolicy.from_checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["class_and_ctor_args.pkl", f"{MODULES}/team/module_state.pkl"])
def test_a_damaged_checkpoint_is_an_error(name: str, signals_checkpoint: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(signals_checkpoint, tmp_path / "checkpoint"))
    content = (copy / name).read_bytes()
    for damaged in (b"", content[: len(content) // 2]):
        (copy / name).write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged"):
            MAMBAPolicy.from_checkpoint(copy)
    (copy / name).unlink()
    with pytest.raises(FileNotFoundError):
        MAMBAPolicy.from_checkpoint(copy)
