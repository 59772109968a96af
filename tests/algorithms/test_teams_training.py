"""Several teams under one MAMBA: trained, frozen and heuristic ones, with agents that come and go."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModule, RLModuleSpec
from small_envs import Village

from rllib_mamba import MAMBA, MAMBAConfig

pytestmark = pytest.mark.usefixtures("ray_cluster")


class AlwaysTwo(RLModule):
    """A heuristic opponent: every agent takes its action 2."""

    framework = "torch"

    def setup(self) -> None:
        pass

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        count = len(batch[Columns.OBS]["alive"])
        return {Columns.ACTIONS: np.full((count, len(self.action_space.nvec)), 2)}

    def get_state(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return {}

    def set_state(self, *args: Any, **kwargs: Any) -> None:
        pass


HEURISTIC = MultiRLModuleSpec(rl_module_specs={"hunter": RLModuleSpec(module_class=AlwaysTwo)})


def village(policies_to_train: Any = None, **env_config: Any) -> MAMBAConfig:
    return (
        MAMBAConfig()
        .environment(Village, env_config=env_config)
        .multi_agent(
            policies={"hunter", "gatherer"},
            policy_mapping_fn=lambda agent_id, episode, **kwargs: agent_id.split("_")[0],
            policies_to_train=policies_to_train,
        )
        .preset("debug")
        .debugging(seed=1)
    )


def weights_of(algorithm: MAMBA, team: str) -> dict[str, np.ndarray]:
    return {name: np.array(value) for name, value in algorithm.learner_group.get_weights()[team].items()}


def is_same(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> bool:
    return all(np.array_equal(before[name], after[name]) for name in before)


def train(algorithm: MAMBA, iterations: int = 2) -> dict[str, Any]:
    return [algorithm.train() for _ in range(iterations)][-1]


def test_two_trained_teams_of_different_sizes_with_masks(build: Callable) -> None:
    algorithm = build(village(masks=True).training(predict_action_mask=True))
    before = {team: weights_of(algorithm, team) for team in ("hunter", "gatherer")}
    result = train(algorithm)
    for team in before:
        assert not is_same(before[team], weights_of(algorithm, team))
        losses = result["learners"][team]
        assert all(np.isfinite(losses[name]) for name in ("total_loss", "actor_loss", "value_loss"))
        # Which actions will be legal is learned as well.
        assert losses["available_action_loss"] > 0
        assert result["replay_buffer"][team]["fill"] > 0
        assert 0 <= result["env_runners"]["agent_episode_returns_mean"][team] <= 8
    assert {team: len(agents) for team, agents in algorithm.config.teams.items()} == {"hunter": 2, "gatherer": 3}


def test_replay_of_agents_that_die_appear_late_and_wait(build: Callable) -> None:
    algorithm = build(village().env_runners(num_envs_per_env_runner=1).training(absorbing_steps=0))
    train(algorithm, 1)
    for team, expected in {
        "hunter": [[1, 0], [1, 0], [1, 1], [0, 1], [0, 1], [0, 1], [0, 1], [0, 1]],
        "gatherer": [[1, 0, 1], [0, 1, 1]] * 4,
    }.items():
        [episode] = algorithm.replay_buffers[team].windows([0])["alive"].astype(int)
        assert episode.tolist() == expected
    [ended] = algorithm.replay_buffers["hunter"].windows([0])["terminated"]
    assert ended[:, 0].tolist() == [False, False] + [True] * 6
    assert ended[:, 1].tolist() == [False] * 7 + [True]


@pytest.mark.parametrize(
    "policies_to_train",
    [["gatherer"], lambda module_id, batch=None: module_id == "gatherer"],
    ids=["list", "function"],
)
def test_a_team_that_is_not_trained_keeps_its_weights(policies_to_train: Any, build: Callable) -> None:
    algorithm = build(village(policies_to_train))
    before = {team: weights_of(algorithm, team) for team in ("hunter", "gatherer")}
    result = train(algorithm)
    assert is_same(before["hunter"], weights_of(algorithm, "hunter"))
    assert not is_same(before["gatherer"], weights_of(algorithm, "gatherer"))
    assert list(algorithm.replay_buffers) == ["gatherer"]
    assert "total_loss" in result["learners"]["gatherer"]
    assert "total_loss" not in result["learners"].get("hunter", {})
    # It plays nevertheless.
    assert result["env_runners"]["agent_returns"]["hunter_0"] > 0


@pytest.mark.parametrize("policies_to_train", [None, ["gatherer"]])
def test_a_heuristic_opponent(policies_to_train: Any, build: Callable) -> None:
    algorithm = build(village(policies_to_train).rl_module(rl_module_spec=HEURISTIC))
    before = weights_of(algorithm, "gatherer")
    result = train(algorithm)
    assert result["env_runners"]["episode_metrics"]["hunters_mean_action"] == 2
    assert not is_same(before, weights_of(algorithm, "gatherer"))
    assert list(algorithm.replay_buffers) == ["gatherer"]
    policy = algorithm.get_policy("gatherer")
    assert policy is not None
    with pytest.raises(ValueError, match="There is no trained team 'hunter'"):
        algorithm.get_policy("hunter")


@pytest.mark.parametrize("policies_to_train", [[], ["hunter"], lambda module_id, batch=None: False])
def test_no_team_to_train_is_one_error(policies_to_train: Any) -> None:
    config = village(policies_to_train).rl_module(rl_module_spec=HEURISTIC)
    with pytest.raises(ValueError, match=r"No team is trained: the teams are \['gatherer', 'hunter'\]"):
        config.build_algo()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda config: config.multi_agent(policies_to_train=["farmer"]), r"`.*policies_to_train.*` contains.*farmer"),
        (
            lambda config: config.rl_module(
                rl_module_spec=MultiRLModuleSpec(rl_module_specs={"farmer": RLModuleSpec(module_class=AlwaysTwo)})
            ),
            r"specs for \['farmer'\], but the teams are \['gatherer', 'hunter'\]",
        ),
    ],
    ids=["policies_to_train", "rl_module_spec"],
)
def test_a_team_that_there_is_not(change: Callable, message: str) -> None:
    config = village()
    change(config)
    with pytest.raises(ValueError, match=message):
        config.build_algo()


@pytest.mark.parametrize("explore", [True, False])
def test_legal_actions_only(explore: bool, build: Callable) -> None:
    """At every second step of the village action 1 is forbidden; the village itself raises where it is taken."""
    algorithm = build(village(masks=True))
    for episode in algorithm.env_runner.sample(num_episodes=8, explore=explore):
        for team in episode.agent_episodes.values():
            actions, alive = np.array(team.get_actions()), team.get_observations()["alive"][:-1].astype(bool)
            assert not (actions[1::2] == 1)[alive[1::2]].any()
