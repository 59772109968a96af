"""Updates away from the CPU: no step waits for a number, and everything is made on the device of the data.

torch's device "meta" stands in for a GPU. It has shapes only, so whatever needs to know a number, or mixes devices,
fails.
"""

import pytest
import torch

from rllib_mamba.imagination import (
    Actor,
    AgentProgress,
    Critic,
    ImaginationOptions,
    agent_update,
    clip_gradients,
    gradient_step,
    imagine,
)
from rllib_mamba.world_model import (
    RandomSampler,
    SequenceOptions,
    WorldModel,
    WorldModelConfig,
    align,
    infer_start_states,
    world_model_losses,
)

B, T, N, O, A = 3, 6, 3, 5, 4  # noqa: E741
PUBLISHED = SequenceOptions()
OURS = SequenceOptions(
    truncation_is_terminal=False, reset_previous_action=True, mask_dead_agents=True, mask_communication=True
)


def batch() -> dict[str, torch.Tensor]:
    def flags(*shape: int) -> torch.Tensor:
        return torch.zeros(B, T, *shape, dtype=torch.bool, device="meta")

    return {
        "obs": torch.zeros(B, T, N, O, device="meta"),
        "action": torch.zeros(B, T, N, dtype=torch.int64, device="meta"),
        "reward": torch.zeros(B, T, N, device="meta"),
        "terminated": flags(N),
        "alive": flags(N),
        "last": flags(),
        "truncated": flags(),
        "action_mask": flags(N, A),
        "comm_mask": flags(N, N),
    }


def world_model() -> WorldModel:
    config = WorldModelConfig(O, A, 16, 8, 3, 4, predict_action_mask=True, normalize_observations=True)
    return WorldModel(config).to("meta")


@pytest.mark.parametrize("options", [PUBLISHED, OURS])
def test_world_model_update(options):
    model = world_model()
    unit = torch.ones((), device="meta")
    sequence = align(batch(), options)
    assert model.normalizer is not None
    model.normalizer.update(sequence.observation, sequence.alive)
    outputs = world_model_losses(model, sequence, RandomSampler(), reward_unit=unit)
    optimizer = torch.optim.SGD(model.parameters())
    norm = gradient_step(outputs.total, model, optimizer, clip_gradients(1.0))
    assert norm.device.type == outputs.metrics["action_accuracy"].device.type == "meta"
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("options", [PUBLISHED, OURS])
def test_agent_update(options):
    model = world_model().eval()
    features = model.config.feature_size
    actor, critic, target = (
        network.to("meta") for network in (Actor(features, 16, A), Critic(features, 16), Critic(features, 16))
    )
    start = infer_start_states(model, align(batch(), options), RandomSampler())
    rollout = imagine(model, actor, start, 4, RandomSampler())
    _, metrics = agent_update(
        actor,
        critic,
        target,
        rollout,
        torch.optim.SGD(actor.parameters()),
        torch.optim.SGD(critic.parameters()),
        ImaginationOptions(horizon=4, epochs=2, minibatch_size=10),
        AgentProgress(1e-3),
        clip_gradients(1.0),
    )
    assert {metric.device.type for metric in metrics.values()} == {"meta"}
