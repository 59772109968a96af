"""The recorded updates through RLlib's learner: options of the preset `paper`, module, batch, optimizers, clipping."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from ray.rllib.core.learner.training_data import TrainingData
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from recordings import Recording
from test_learner import LOSS_NAMES, assert_close, assert_parameters_close, prefixed, replayed_batch, sizes
from weights import actor_parameters, critic_parameters, load, world_model_parameters

from rllib_mamba import MAMBAConfig, MAMBALearner, MAMBARLModule
from rllib_mamba.algorithms.mamba.learner import AGENT_PHASE, WORLD_MODEL_PHASE
from rllib_mamba.world_model import ModeSampler

TEAM = "team"


class ModeLearner(MAMBALearner):
    """Draws the mode, as the recording did."""

    sampler = ModeSampler()


class RecordedSpaces(MultiAgentEnv):
    """Agents of the recorded sizes; with masks where actions are recorded as available."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        shapes = config["shapes"]
        self.possible_agents = self.agents = [f"agent_{index}" for index in range(shapes["n_agents"])]
        space: gym.Space = gym.spaces.Box(-np.inf, np.inf, (shapes["obs_dim"],), np.float32)
        if config["masks"]:
            space = gym.spaces.Dict({"observation": space, "action_mask": gym.spaces.MultiBinary(shapes["n_actions"])})
        self.observation_spaces = dict.fromkeys(self.agents, space)
        self.action_spaces = {agent: gym.spaces.Discrete(shapes["n_actions"]) for agent in self.agents}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        return {agent: space.sample() for agent, space in self.observation_spaces.items()}, {}


def configuration(recording: Recording) -> MAMBAConfig:
    shapes, published = sizes(recording), recording.scalars["variant"] == "starcraft"
    config = MAMBAConfig().environment(RecordedSpaces, env_config={"shapes": shapes, "masks": published})
    config.preset("smac" if published else "flatland").preset("paper")
    config.training(
        hidden_size=shapes["hidden"],
        deterministic_size=shapes["deter"],
        num_categoricals=shapes["n_categoricals"],
        num_classes=shapes["n_classes"],
        horizon=shapes["horizon"],
        sequence_length=shapes["seq_length"],
        batch_size=shapes["batch"],
        learner_class=ModeLearner,
    )
    # The recording was made without dropout, which the preset has.
    config.rl_module(model_config={"communication_dropout": 0.0})
    config.validate()
    return config


@pytest.fixture
def learner(recording: Recording) -> MAMBALearner:
    """A learner without a cluster that begins with the recorded parameters."""
    config = configuration(recording)
    learner = config.build_learner(env=config.env(config.env_config))
    learner.build()
    module = learner.module[TEAM]
    load(world_model_parameters(module.networks.world_model), recording.weights, "model.")
    load(actor_parameters(module.networks.actor), recording.weights, "actor.")
    load(critic_parameters(module.critic), recording.weights, "critic.")
    if config.use_target_critic:
        load(critic_parameters(module.target_critic), recording.weights, "old_critic.")
    return learner


def update(learner: MAMBALearner, recording: Recording, phase: str) -> dict[str, Any]:
    """One update on the recorded batch; the results of the team."""
    columns = {name: value.numpy() for name, value in replayed_batch(recording).items()}
    batch = MultiAgentBatch({TEAM: SampleBatch(columns)}, env_steps=columns["last"].size)
    results = learner.update(
        training_data=TrainingData(batch=batch), timesteps={"num_env_steps_sampled_lifetime": 0}, phase=phase
    )
    return {name: value.peek() for name, value in results[TEAM].items()}


def test_the_module_has_the_recorded_parameters(learner: MAMBALearner, recording: Recording) -> None:
    module = learner.module[TEAM]
    assert isinstance(module, MAMBARLModule)
    assert ("old_critic.embed.weight" in recording.weights) == learner.config.use_target_critic
    assert ("model.avail.0.weight" in recording.weights) == module.networks.world_model.config.predict_action_mask


def test_one_world_model_update(learner: MAMBALearner, recording: Recording) -> None:
    expected = recording.tensors("model")
    module = learner.module[TEAM]
    actor = {name: value.clone() for name, value in actor_parameters(module.networks.actor).items()}
    results = update(learner, recording, WORLD_MODEL_PHASE)
    for recorded, name in LOSS_NAMES.items():
        assert_close(results[f"{name}_loss"], recording.scalars[f"model_loss.{recorded}"], name)
    assert_close(results["total_loss"], recording.scalars["model_loss.total"], "total")
    assert_close(results["world_model_gradient_norm"], recording.scalars["model_grad_norm_total"], "gradient norm")
    parameters = world_model_parameters(module.networks.world_model)
    assert_parameters_close(parameters, prefixed(expected, "after_adam."), prefixed(expected, "grad."))
    # A second one on the same batch, to see the parameters that were not recorded one by one.
    again = update(learner, recording, WORLD_MODEL_PHASE)
    for recorded, name in LOSS_NAMES.items():
        assert_close(again[f"{name}_loss"], recording.scalars[f"model_loss_after_one_adam_step.{recorded}"], name)
    for name, value in actor_parameters(module.networks.actor).items():
        assert value.equal(actor[name]), name


def test_one_agent_update(learner: MAMBALearner, recording: Recording) -> None:
    expected = recording.tensors("ppo")
    module = learner.module[TEAM]
    results = update(learner, recording, AGENT_PHASE)
    assert_parameters_close(
        actor_parameters(module.networks.actor),
        prefixed(expected, "after.actor."),
        prefixed(expected, "grad.actor_same."),
    )
    assert_parameters_close(
        critic_parameters(module.critic), prefixed(expected, "after.critic."), prefixed(expected, "grad.critic.")
    )
    for name in ("actor_loss", "value_loss"):
        of_epochs = np.mean(recording.scalars[f"train_agent.{name}_per_epoch"])
        assert_close(results[name], float(of_epochs), name)
    coefficient = recording.scalars["train_agent.entropy_coeff_per_epoch"][-1]
    annealing = recording.scalars["config"]["ENTROPY_ANNEALING"]
    assert results["entropy_coefficient"] == pytest.approx(coefficient * annealing, rel=1e-9)
    if learner.config.use_target_critic:
        for ours, theirs in zip(module.critic.parameters(), module.target_critic.parameters(), strict=True):
            assert ours.equal(theirs)
    for name, value in world_model_parameters(module.networks.world_model).items():
        assert value.equal(recording.weights[f"model.{name}"]), name
