"""Several learners make the update that one makes on the joined batch."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from ray.rllib.core.learner.learner_group import LearnerGroup
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from runs import assert_different, assert_same, learner_results, leaves, symbol_game

from rllib_mamba import MAMBAConfig
from rllib_mamba.algorithms.mamba.learner import AGENT_PHASE, WORLD_MODEL_PHASE, MAMBALearner
from rllib_mamba.world_model import ModeSampler

pytestmark = pytest.mark.usefixtures("ray_cluster")

STEPS = {"num_env_steps_sampled_lifetime": 1000}
PHASES = (WORLD_MODEL_PHASE, AGENT_PHASE, WORLD_MODEL_PHASE, AGENT_PHASE)
TEAM = "team"


class ModeLearner(MAMBALearner):
    """Leaves nothing to chance."""

    sampler = ModeSampler()


def config_of(num_learners: int, **options: Any) -> MAMBAConfig:
    """Large learning rates make differences large; one minibatch an epoch makes the order of rows irrelevant."""
    config = symbol_game(
        communication_dropout=0.0,
        batch_size=6,
        minibatch_size=100_000,
        num_epochs=3,
        normalize_advantages=True,
        use_target_critic=True,
        world_model_lr=1e-3,
        actor_lr=1e-2,
        critic_lr=1e-2,
        # Small enough to clip.
        world_model_grad_clip_by_global_norm=0.5,
        critic_grad_clip_by_global_norm=0.05,
        **options,
    )
    return config.learners(num_learners=num_learners, learner_class=ModeLearner)


@pytest.fixture
def group() -> Iterator[Callable[[MAMBAConfig], LearnerGroup]]:
    """Builds learners without an algorithm and shuts them down after the test."""
    groups = []

    def make(config: MAMBAConfig) -> LearnerGroup:
        config.validate()
        groups.append(config.build_learner_group(env=config.env(config.env_config)))
        return groups[-1]

    yield make
    for learners in groups:
        learners.shutdown()


@pytest.fixture(scope="module")
def batch() -> dict[str, np.ndarray]:
    """Six sequences of eight steps: deaths in some of them and not in others, episodes that end and that are cut."""
    generator = np.random.default_rng(0)
    sequences, steps, agents, size = 6, 8, 3, 3
    death = np.where(np.arange(sequences)[:, None] < 3, generator.integers(2, 12, (sequences, agents)), 99)
    terminated = np.arange(steps)[None, :, None] + 1 >= death[:, None]
    alive = np.arange(steps)[None, :, None] < death[:, None]
    last = np.zeros((sequences, steps), bool)
    truncated = np.zeros((sequences, steps), bool)
    last[4, 5] = last[5, 3] = truncated[5, 3] = True
    terminated[4, 5] = True
    # The shares of two learners have advantages of different size.
    spread = np.arange(1, 7)[:, None, None]
    return {
        "obs": (generator.normal(size=(sequences, steps, agents, size)) * alive[..., None]).astype(np.float32),
        "action": generator.integers(3, size=(sequences, steps, agents)),
        "reward": (generator.normal(size=(sequences, steps, agents)) * spread).astype(np.float32),
        "terminated": terminated,
        "alive": alive,
        "last": last,
        "truncated": truncated,
    }


def update(learners: LearnerGroup, batch: dict[str, np.ndarray], phase: str) -> None:
    sequences = SampleBatch({name: column.copy() for name, column in batch.items()})
    joined = MultiAgentBatch({TEAM: sequences}, env_steps=batch["last"].size)
    learners.update(batch=joined, timesteps=STEPS, phase=phase)


def parameters(learners: LearnerGroup) -> list[dict[str, np.ndarray]]:
    """The weights of every learner."""
    results = learners.foreach_learner(lambda learner: learner.module.get_state())
    return [dict(leaves(result.get())) for result in results]


def without_key_bias(name: str, value: np.ndarray) -> np.ndarray:
    """The exact gradient of the attention keys' bias is zero, and Adam makes steps of its rounding noise."""
    if not name.endswith("query_key_value.bias"):
        return value
    query, _, values = np.split(value, 3)
    return np.concatenate([query, values])


@pytest.mark.parametrize("mask_dead_agents", [True, False])
def test_two_learners_make_the_update_of_one(
    mask_dead_agents: bool, batch: dict[str, np.ndarray], group: Callable
) -> None:
    one, two = (group(config_of(number, mask_dead_agents=mask_dead_agents)) for number in (0, 2))
    assert len(two) == 2
    [before] = parameters(one)
    for phase in PHASES:
        for learners in (one, two):
            update(learners, batch, phase)
        [expected] = parameters(one)
        first, second = parameters(two)
        assert_same(second, first)
        for name, value in expected.items():
            actual, wanted = without_key_bias(name, first[name]), without_key_bias(name, value)
            np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=5e-5, err_msg=f"{phase}: {name}")
    # Every parameter has moved by far more than that.
    for name, value in before.items():
        assert np.abs(expected[name] - value).max() > 1e-4, name


def test_learners_begin_and_stay_alike_and_go_on_from_a_checkpoint(tmp_path: Path, build: Callable) -> None:
    """Without a seed each process would draw its own first weights; samples and dropout differ between learners.

    Actor and critic begin anew in the second iteration, and again after the checkpoint.
    """
    resets = {"agent_reset_steps": [100, 200], "agent_updates_after_reset": 1}
    algorithm = build(symbol_game(**resets).debugging(seed=None).learners(num_learners=2))
    assert_same(*parameters(algorithm.learner_group))
    for _ in range(2):
        algorithm.train()
    before, other = parameters(algorithm.learner_group)
    assert_same(other, before)
    algorithm.save_to_path(tmp_path)
    results, after = [], []
    for _ in range(2):
        result = algorithm.train()
        results.append(learner_results(result))
        first, second = parameters(algorithm.learner_group)
        assert_same(second, first)
        after.append(first)
        assert result["learners"]["num_agent_resets_lifetime"] == 2
        algorithm.restore_from_path(tmp_path)
        for weights in parameters(algorithm.learner_group):
            assert_same(weights, before)
    assert_different(after[0], before)
    assert_same(after[1], after[0])
    assert_same(results[1], results[0])
    # One learner can take over from two.
    alone = build(symbol_game())
    alone.restore_from_path(tmp_path)
    assert_same(parameters(alone.learner_group)[0], before)
    alone.train()
    assert_different(parameters(alone.learner_group)[0], before)


# Learners in processes of their own cannot import a test.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
