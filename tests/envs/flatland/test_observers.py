"""Observations by name."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("flatland")

from flatland.envs.observations import GlobalObsForRailEnv
from flatland.envs.predictions import ShortestPathPredictorForRailEnv
from flatland.ml.observations.flatten_tree_observation_for_rail_env import FlattenedNormalizedTreeObsForRailEnv

from rllib_mamba.envs.flatland import PRESETS, FlatlandEnv
from rllib_mamba.envs.flatland.baselines import shortest_path_action
from rllib_mamba.teams.team_env import TeamEnv

DEBUG = {**PRESETS["flatland_debug"], "seed": 4}
DISTANCE = 5


def steps(options: dict[str, Any], number: int = 25, seed: int = 4) -> Any:
    """The environment and its observations after the reset and every step of random actions, the same for all."""
    env = FlatlandEnv({**DEBUG, **options})
    generator = np.random.default_rng(0)
    observations, _ = env.reset(seed=seed)
    yield env, observations
    for _ in range(number):
        choices = {agent: int(generator.choice(3, p=[0.7, 0.2, 0.1])) for agent in env.possible_agents}
        observations, _, ends, _, _ = env.step({agent: choices[agent] for agent in observations})
        yield env, observations
        if ends["__all__"]:
            return
        observations = {agent: row for agent, row in observations.items() if not ends[agent]}


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"observation": "features"}, 205),
        ({"observation": "features", "tree_depth": 2}, 93),
        ({"observation": "shortest_path"}, 3),
        ({"observation": "flatland_tree", "tree_depth": 1}, 60),
        ({"observation": "flatland_tree", "tree_depth": 2}, 252),
        ({"observation": "flatland_tree"}, 1020),
        ({"observation": "flatland_global"}, 22 * 22 * 23),
    ],
)
def test_spaces_hold_what_is_observed(options: dict[str, Any], size: int) -> None:
    for env, observations in steps(options):
        for agent, observation in observations.items():
            assert env.observation_spaces[agent].shape == (size,)
            assert env.observation_spaces[agent].contains(observation)
            assert np.isfinite(observation).all()


def test_the_shortest_path_agrees_with_the_features() -> None:
    compared = 0
    for (env, short), (_, features) in zip(
        steps({"observation": "shortest_path"}), steps({"observation": "features"}), strict=True
    ):
        for agent, (distance, *branch) in short.items():
            row = features[agent]
            if row[DISTANCE] == 0.0:
                continue
            expected = 100 * (row[DISTANCE] + 10) / env.settings.episode_limit
            assert distance == pytest.approx(expected, abs=1e-5)
            if not row[9:23].any():
                continue
            assert branch == np.eye(2)[shortest_path_action(row)].tolist()
            compared += 1
    assert compared > 50


def test_both_branches_are_the_shorter_way_somewhere() -> None:
    branches = {
        tuple(row[1:])
        for seed in range(3)
        for _, short in steps({"observation": "shortest_path"}, seed=seed)
        for row in short.values()
    }
    assert branches >= {(1.0, 0.0), (0.0, 1.0)}


def test_an_arrived_train_has_no_shortest_path() -> None:
    env = FlatlandEnv({**DEBUG, "observation": "shortest_path", "number_of_trains": 1, "malfunction_rate": 0.0})
    observations, _ = env.reset(seed=0)
    assert 0 < observations["train_0"][0] < 1
    over = False
    while not over:
        _, first, second = observations["train_0"]
        observations, _, terminateds, _, _ = env.step({"train_0": int(second > first)})
        over = terminateds["__all__"]
    assert observations["train_0"].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("depth", [1, 2])
def test_flatlands_tree_is_that_of_its_builder(depth: int) -> None:
    for env, observations in steps({"observation": "flatland_tree", "tree_depth": depth}, number=10):
        builder = FlattenedNormalizedTreeObsForRailEnv(
            max_depth=depth, predictor=ShortestPathPredictorForRailEnv(max_depth=50)
        )
        builder.reset(env.rail_env)
        expected = builder.get_many(list(range(len(env.rail_env.agents))))
        for agent, observation in observations.items():
            np.testing.assert_allclose(observation, expected[env.possible_agents.index(agent)], rtol=1e-6)
    assert np.unique(observation).size > 3


def test_flatlands_global_observation_is_that_of_its_builder() -> None:
    for env, observations in steps({"observation": "flatland_global"}, number=10):
        builder = GlobalObsForRailEnv()
        builder.reset(env.rail_env)
        for agent, observation in observations.items():
            parts = builder.get(env.possible_agents.index(agent))
            np.testing.assert_array_equal(observation, np.concatenate([part.ravel() for part in parts]))


def test_every_episode_is_observed_on_its_own_map() -> None:
    env = FlatlandEnv({**DEBUG, "observation": "flatland_global", "number_of_trains": 1})
    rails = {env.reset()[0]["train_0"][: 22 * 22 * 16].tobytes() for _ in range(3)}
    assert len(rails) == 3


def test_who_hears_whom_does_not_depend_on_what_is_observed() -> None:
    masks = []
    for name in ("features", "shortest_path"):
        env = FlatlandEnv({**DEBUG, "number_of_trains": 6, "observation": name})
        env.reset(seed=1)
        infos = [env.step(dict.fromkeys(env.possible_agents, 0))[-1] for _ in range(15)]
        masks.append(np.stack([info["__common__"]["comm_mask"] for info in infos]))
    np.testing.assert_array_equal(*masks)
    assert masks[0].sum() > masks[0].shape[0] * 6


def test_a_team_flattens_the_global_observation() -> None:
    env = TeamEnv(FlatlandEnv({**DEBUG, "observation": "flatland_global"}), {"team": ["train_0", "train_1", "train_2"]})
    observations, _ = env.reset(seed=0)
    assert observations["team"]["obs"].shape == (3, 22 * 22 * 23)
    assert env.observation_spaces["team"].contains(observations["team"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"observation": "feature"}, "unknown observation 'feature': did you mean 'features'"),
        ({"observation": "zzz"}, "known are features, shortest_path, flatland_tree, flatland_global"),
        (
            {"observation": "shortest_path", "scaled_features": True},
            "scaled_features is for the observation 'features'",
        ),
        ({"observation": "flatland_tree", "tree_depth": 4}, "tree_depth must be 1, 2 or 3"),
    ],
)
def test_bad_observations(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FlatlandEnv(options)


def test_a_task_cannot_change_the_size_of_what_is_observed() -> None:
    env = FlatlandEnv({**DEBUG, "observation": "flatland_global"})
    with pytest.raises(ValueError, match=r"'flatland_global' would have 12144 numbers instead of 11132"):
        env.set_task({"width": 24})
    with pytest.raises(ValueError, match="a task cannot change observation"):
        env.set_task({"observation": "features"})
    env.set_task({"number_of_trains": 2})
    assert len(env.reset()[0]) == 2
