"""Updates in mixed precision beside the same ones in float32."""

from typing import Any

import numpy as np
import pytest
import torch
from play import module_step
from ray.rllib.core.learner.training_data import TrainingData
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch

from rllib_mamba import MAMBAConfig, MAMBALearner
from rllib_mamba.algorithms.mamba.learner import AGENT_PHASE, WORLD_MODEL_PHASE


def learner(mixed_precision: bool) -> MAMBALearner:
    """A learner without a cluster."""
    config = MAMBAConfig().environment("symbol_game").preset("debug").debugging(seed=0)
    config.training(mixed_precision=mixed_precision)
    config.validate()
    made = config.build_learner(env=config.env(config.env_config))
    made.build()
    return made


def update(made: MAMBALearner, phase: str) -> dict[str, Any]:
    """One update on a batch of random numbers; the team's results."""
    (team,) = made.module.keys()
    space = made.module[team].observation_space
    members, size = space["obs"].shape
    generator = np.random.default_rng(0)
    steps = (4, 8)
    batch = {
        "obs": generator.random((*steps, members, size), np.float32),
        "action": generator.integers(2, size=(*steps, members)),
        "reward": generator.random((*steps, members), np.float32),
        "terminated": np.zeros((*steps, members), bool),
        "alive": np.ones((*steps, members), bool),
        "last": np.zeros(steps, bool),
        "truncated": np.zeros(steps, bool),
    }
    if "action_mask" in space.spaces:
        batch["action_mask"] = np.ones((*steps, *space["action_mask"].shape), bool)
    torch.manual_seed(0)
    data = TrainingData(batch=MultiAgentBatch({team: SampleBatch(batch)}, env_steps=32))
    results = made.update(training_data=data, timesteps={"num_env_steps_sampled_lifetime": 0}, phase=phase)
    found = {name: value.peek() for name, value in results[team].items()}
    # Those of the other phase are not a number.
    return {name: value for name, value in found.items() if np.isfinite(value)}


def test_losses_are_near_those_in_float32_and_everything_kept_is_float32():
    exact, mixed = learner(False), learner(True)
    for phase in (WORLD_MODEL_PHASE, AGENT_PHASE):
        expected, actual = update(exact, phase), update(mixed, phase)
        assert actual.keys() == expected.keys()
        losses = [name for name in expected if name.endswith(("_loss", "_entropy", "imagined_reward"))]
        assert len(losses) >= 3
        for name in losses:
            assert actual[name] == pytest.approx(expected[name], rel=0.05, abs=0.02), name
        assert any(actual[name] != expected[name] for name in losses)
    (team,) = mixed.module.keys()
    for parameter in mixed.module[team].parameters():
        assert parameter.dtype is torch.float32
        assert parameter.isfinite().all()


def test_teams_act_with_rounded_products_and_carry_on_a_state_in_float32(monkeypatch):
    monkeypatch.setattr("rllib_mamba.world_model.prepared.has_onednn", lambda: False)
    monkeypatch.setattr("rllib_mamba.world_model.prepared.has_bfloat16_instructions", lambda: True)
    states = []
    for mixed_precision in (False, True):
        made = learner(mixed_precision)
        (team,) = made.module.keys()
        module = made.module[team].unwrapped()
        module.observation_space.seed(0)
        state = {name: part[None] for name, part in module.get_initial_state().items()}
        states.append(module_step(module, [module.observation_space.sample()], state, greedy=True)[1]["deterministic"])
    exact, mixed = states
    assert mixed.dtype == np.float32
    assert mixed == pytest.approx(exact, abs=0.02)
    assert np.abs(mixed - exact).max() > 1e-5


def test_it_is_no_option_of_the_published_mathematics():
    config = MAMBAConfig().environment("symbol_game").preset("debug").preset("paper").training(mixed_precision=True)
    with pytest.raises(ValueError, match="mixed_precision=True"):
        config.validate()
