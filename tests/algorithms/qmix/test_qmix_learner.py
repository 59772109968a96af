"""The learner's update: targets by hand, target networks, what QMIX can represent and VDN cannot, several learners."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import ray
import torch
from ray.rllib.core.learner.learner_group import LearnerGroup
from ray.rllib.core.learner.training_data import TrainingData
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from runs import assert_same, leaves

from rllib_mamba import QMIXConfig, QMIXLearner

TEAM = "team"
STEPS = {"num_env_steps_sampled_lifetime": 0}


class Spaces(MultiAgentEnv):
    """Two agents with two numbers to see and `num_actions` (3) actions, masks or a state if so set, and no game."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.possible_agents = self.agents = ["a", "b"]
        space: gym.Space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
        num_actions = config.get("num_actions", 3)
        self.infos = {"__common__": {"state": np.zeros(4, np.float32)}} if config.get("state") else {}
        if config.get("masks"):
            space = gym.spaces.Dict({"observation": space, "action_mask": gym.spaces.MultiBinary(num_actions)})
        self.observation_spaces = dict.fromkeys(self.agents, space)
        self.action_spaces = dict.fromkeys(self.agents, gym.spaces.Discrete(num_actions))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        return {agent: space.sample() for agent, space in self.observation_spaces.items()}, self.infos


def configuration(env_config: dict[str, Any] | None = None, **options: Any) -> QMIXConfig:
    config = QMIXConfig().environment(Spaces, env_config=env_config or {})
    return config.debugging(seed=0).training(hidden_size=8, mixing_embedding_size=8, **options)


def learner_of(config: QMIXConfig) -> QMIXLearner:
    """A learner without a cluster."""
    config.validate()
    learner = config.build_learner(env=config.env(config.env_config))
    learner.build()
    return learner


def update(learner: QMIXLearner, episodes: dict[str, np.ndarray]) -> dict[str, float]:
    """One update; the results of the team."""
    batch = MultiAgentBatch({TEAM: SampleBatch({name: column.copy() for name, column in episodes.items()})}, 1)
    results = learner.update(training_data=TrainingData(batch=batch), timesteps=STEPS)
    return {name: float(value.peek()) for name, value in results[TEAM].items()}


# ------------------------------------------------------------------ by hand


def one_episode() -> dict[str, np.ndarray]:
    """Two steps of two agents, cut by a time limit. Agent b ends after the first step."""
    agents = (1, 3, 2)
    return {
        "obs": np.zeros((*agents, 2), np.float32),
        "action": np.array([[[0, 2], [1, 1], [0, 0]]]),
        "reward": np.array([[[2.0, 4.0], [6.0, 0.0], [0.0, 0.0]]], np.float32),
        "terminated": np.array([[[False, True], [False, True], [False, True]]]),
        "alive": np.array([[[True, True], [True, False], [True, False]]]),
        "last": np.array([[False, True, False]]),
        "truncated": np.array([[False, True, False]]),
        "filled": np.array([[True, True, False]]),
        "action_mask": np.array([[[[1, 1, 1]] * 2, [[0, 1, 1], [1, 1, 1]], [[1, 1, 0], [1, 1, 1]]]], bool),
    }


def with_constant_values(learner: QMIXLearner, values: list[float], target_values: list[float]) -> None:
    """Makes both networks value the three actions alike, whatever is seen."""
    [(network, target), *_] = learner.module[TEAM].get_target_network_pairs()
    for one, numbers in ((network, values), (target, target_values)):
        one.action_values.weight.data.zero_()
        one.action_values.bias.data = torch.tensor(numbers)


@pytest.mark.parametrize(
    ("options", "q_taken", "targets"),
    [
        # Agent b's 3 counts at the first step only. The best legal actions of agent a are 1 (value 5) and then 1 (5).
        # At the end 40 is what the target network gives to action 1, 30 to action 0: r = 3 each.
        ({}, [1 + 3, 5], [3 + 0.5 * 40, 3 + 0.5 * 40]),
        # The target network thinks action 2 (90) best, which is illegal at the end.
        ({"double_q": False}, [1 + 3, 5], [3 + 0.5 * 90, 3 + 0.5 * 40]),
        ({"team_reward": "sum"}, [1 + 3, 5], [6 + 0.5 * 40, 6 + 0.5 * 40]),
        ({"td_lambda": 0.5}, [1 + 3, 5], [3 + 0.25 * 40 + 0.25 * 23, 23]),
        # Agents for themselves: b has action 0 alone, valued 1 and 30, from its end on.
        ({"mixer": None}, [1, 3, 5, 1], [3 + 20, 3 + 15, 3 + 20, 3 + 15]),
    ],
    ids=["double", "single", "sum", "lambda", "independent"],
)
def test_the_loss_by_hand(options: dict[str, Any], q_taken: list[float], targets: list[float]) -> None:
    learner = learner_of(configuration({"masks": True}, **{"mixer": "vdn", "gamma": 0.5, "batch_size": 1, **options}))
    with_constant_values(learner, [1.0, 5.0, 3.0], [30.0, 40.0, 90.0])
    results = update(learner, one_episode())
    errors = np.subtract(q_taken, targets)
    assert results["q_taken_mean"] == pytest.approx(np.mean(q_taken))
    assert results["target_mean"] == pytest.approx(np.mean(targets))
    assert results["td_loss"] == pytest.approx(np.mean(errors**2))
    assert results["td_error_abs_mean"] == pytest.approx(np.mean(np.abs(errors)))


def test_an_end_has_no_value() -> None:
    learner = learner_of(configuration({"masks": True}, mixer="vdn", batch_size=1))
    with_constant_values(learner, [1.0, 5.0, 3.0], [30.0, 40.0, 90.0])
    episode = one_episode()
    episode["terminated"][:, 1:] = True
    episode["truncated"][:] = False
    assert update(learner, episode)["target_mean"] == pytest.approx((3 + 0.99 * 40 + 3) / 2)


# ------------------------------------------------------------------ learning


def matrix_game(payoffs: np.ndarray) -> dict[str, np.ndarray]:
    """Every joint action once, in episodes of one step."""
    joint = np.stack(np.meshgrid(*map(np.arange, payoffs.shape), indexing="ij"), axis=-1).reshape(-1, 2)
    count = len(joint)
    action = np.zeros((count, 2, 2), np.int64)
    action[:, 0] = joint
    reward = np.zeros((count, 2, 2), np.float32)
    reward[:, 0] = payoffs.reshape(-1, 1)
    first = np.broadcast_to(np.array([True, False]), (count, 2)).copy()
    return {
        "obs": np.ones((count, 2, 2, 2), np.float32),
        "action": action,
        "reward": reward,
        "terminated": np.ones((count, 2, 2), bool),
        "alive": np.repeat(first[..., None], 2, axis=-1),
        "last": first,
        "truncated": np.zeros_like(first),
        "filled": first,
    }


def loss_after_learning(mixer: str | None, payoffs: np.ndarray) -> float:
    options = {"optimizer_type": "adam", "lr": 0.02, "batch_size": payoffs.size}
    learner = learner_of(configuration({"num_actions": len(payoffs)}, mixer=mixer, **options))
    episodes = matrix_game(payoffs)
    for _ in range(150):
        update(learner, episodes)
    return update(learner, episodes)["td_loss"]


def test_a_game_that_addition_cannot_represent() -> None:
    """Additions of two agents' values miss a quarter of 0 - 1 - 1 + 8 at every joint action, whatever they are."""
    payoffs = np.array([[0.0, 1.0], [1.0, 8.0]])
    least = (6 / 4) ** 2
    assert least <= loss_after_learning("vdn", payoffs) < 1.05 * least
    assert loss_after_learning("qmix", payoffs) < 0.01 * least


def test_a_game_that_addition_can_represent() -> None:
    assert loss_after_learning("vdn", np.array([[0.0, 3.0], [-2.0, 1.0]])) < 0.01


def test_neither_can_represent_a_game_that_is_not_monotone() -> None:
    """With agent a's first action b's second is better, with its second the first."""
    assert loss_after_learning("qmix", np.array([[0.0, 4.0], [4.0, 0.0]])) > 0.5


@pytest.mark.parametrize(("interval", "tau"), [(3, 1.0), (1, 0.25)])
def test_target_networks_follow(interval: int, tau: float) -> None:
    payoffs = np.array([[0.0, 1.0], [1.0, 8.0]])
    learner = learner_of(configuration({"num_actions": 2}, batch_size=4, target_update_interval=interval, tau=tau))
    pairs = learner.module[TEAM].get_target_network_pairs()
    assert len(pairs) == 2
    for step in range(1, 5):
        before = [[value.clone() for value in target.state_dict().values()] for _, target in pairs]
        update(learner, matrix_game(payoffs))
        for (main, target), old in zip(pairs, before, strict=True):
            for value, now, then in zip(main.state_dict().values(), target.state_dict().values(), old, strict=True):
                expected = tau * value + (1 - tau) * then if step % interval == 0 else then
                torch.testing.assert_close(now, expected)
    assert not any(value.requires_grad for _, target in pairs for value in target.parameters())


@pytest.mark.parametrize("normalize_state", [True, False])
def test_the_unit_of_the_state_does_not_matter_if_it_is_normalized(normalize_state: bool) -> None:
    results = []
    for scale, shift in ((1.0, 0.0), (100.0, 3.0)):
        learner = learner_of(configuration({"state": True}, batch_size=6, normalize_state=normalize_state))
        episodes = uneven_episodes()
        state = np.random.default_rng(1).normal(size=(6, 7, 4)).astype(np.float32)
        episodes["state"] = scale * state + shift
        results.append([update(learner, episodes)["td_loss"] for _ in range(3)])
    assert np.allclose(*results, rtol=1e-3) == normalize_state


# ------------------------------------------------------------------ several learners


@pytest.fixture
def group() -> Iterator[Callable[[QMIXConfig], LearnerGroup]]:
    """Builds learners without an algorithm and shuts them down after the test."""
    groups = []

    def make(config: QMIXConfig) -> LearnerGroup:
        config.validate()
        groups.append(config.build_learner_group(env=config.env(config.env_config)))
        return groups[-1]

    yield make
    for learners in groups:
        learners.shutdown()


def uneven_episodes() -> dict[str, np.ndarray]:
    """Six episodes of one to six steps: the shares of two learners have very different numbers of steps."""
    generator = np.random.default_rng(0)
    shape = (6, 7, 2)
    filled = np.arange(7) < np.arange(1, 7)[:, None]
    last = np.arange(7) == np.arange(6)[:, None]
    return {
        "obs": generator.normal(size=(*shape, 2)).astype(np.float32),
        "action": generator.integers(3, size=shape),
        "reward": generator.normal(size=shape).astype(np.float32) * np.arange(1, 7)[:, None, None].astype(np.float32),
        "terminated": np.repeat((last & (np.arange(6) % 2 == 0)[:, None])[..., None], 2, axis=-1),
        "alive": np.repeat((np.arange(7) <= np.arange(1, 7)[:, None])[..., None], 2, axis=-1),
        "last": last,
        "truncated": last & (np.arange(6) % 2 == 1)[:, None],
        "filled": filled,
    }


@pytest.mark.usefixtures("ray_cluster")
def test_two_learners_make_the_update_of_one(group: Callable) -> None:
    # Small enough to clip.
    options = {"batch_size": 6, "grad_clip": 0.5, "lr": 0.01, "target_update_interval": 2}
    one, two = (group(configuration(**options).learners(num_learners=number)) for number in (0, 2))
    for _ in range(3):
        for learners in (one, two):
            batch = MultiAgentBatch({TEAM: SampleBatch(uneven_episodes())}, 21)
            learners.update(batch=batch, timesteps=STEPS)
    [expected], (first, second) = (
        [dict(leaves(result.get())) for result in learners.foreach_learner(lambda one: one.module.get_state())]
        for learners in (one, two)
    )
    assert_same(second, first)
    for name, value in expected.items():
        np.testing.assert_allclose(first[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


# Learners in processes of their own cannot import a test.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
