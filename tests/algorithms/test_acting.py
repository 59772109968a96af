"""What a team does with its weights laid out for acting, against the world model's and the actor's own layers."""

import copy
import pickle

import pytest
import torch
from torch.testing import assert_close

from rllib_mamba.algorithms.mamba.acting import TeamNetworks, TeamState
from rllib_mamba.world_model import LatentState, ModeSampler, WorldModelConfig
from rllib_mamba.world_model.linear import has_bfloat16_instructions

SMALL = {"hidden_size": 48, "deterministic_size": 40, "num_categoricals": 5, "num_classes": 7, "communication_heads": 4}


def make_networks(num_actions=4, mask_dead_agents=True, mixed_precision=False, **sizes):
    torch.manual_seed(0)
    config = WorldModelConfig(observation_size=6, num_actions=num_actions, **SMALL | sizes)
    return TeamNetworks(config, mask_dead_agents, mixed_precision).eval()


def make_observation(teams, agents, num_actions=4, ended=0, comm_mask=False):
    generator = torch.Generator().manual_seed(1)
    observation = {
        "obs": torch.randn(teams, agents, 6, generator=generator),
        "ended": torch.zeros(teams, agents, dtype=torch.int8),
        "action_mask": torch.rand(teams, agents, num_actions, generator=generator).round().to(torch.int8),
    }
    observation["ended"][:, :ended] = 1
    if comm_mask:
        hears = torch.rand(teams, agents, agents, generator=generator) > 0.5
        observation["comm_mask"] = (hears | torch.eye(agents, dtype=torch.bool)).to(torch.int8)
    return observation


@torch.no_grad()
def by_layers(networks, observation, state):
    """The most probable step, by the layers that training uses."""
    model, config = networks.world_model, networks.world_model.config
    one_hots = torch.eye(config.num_classes + 1)[:, : config.num_classes]
    previous = LatentState(one_hots[state.latent].flatten(-2), state.deterministic)
    previous_action = torch.eye(config.num_actions + 1)[state.previous_action, : config.num_actions]
    agents = state.ended.shape[-1]
    hear = torch.ones(*state.ended.shape, agents, dtype=torch.bool)
    if networks.mask_dead_agents:
        hear &= (state.ended == 0).unsqueeze(-2)
    if "comm_mask" in observation:
        hear &= observation["comm_mask"].bool()
    hear |= torch.eye(agents, dtype=torch.bool)
    embedding = model.encode(observation["obs"])
    _, _, posterior = model.observe_step(previous, previous_action, embedding, ModeSampler(), hear)
    action = networks.actor(posterior.features, observation["action_mask"].bool()).argmax(-1)
    latent = posterior.stochastic.unflatten(-1, (config.num_categoricals, config.num_classes)).argmax(-1)
    return action, TeamState(latent, posterior.deterministic, action, observation["ended"].long())


def assert_same_steps(networks, observation, teams, agents, steps=3):
    state = networks.initial_state((teams,), agents)
    for _ in range(steps):
        action, following = networks.act(observation, state, greedy=True)
        expected_action, expected = by_layers(networks, observation, state)
        assert_close(action, expected_action)
        assert_close(following, expected, atol=2e-6, rtol=1e-5)
        state = following


@pytest.mark.parametrize(("teams", "agents"), [(1, 1), (1, 3), (8, 3), (2, 20)])
def test_steps_are_those_of_the_layers(teams, agents):
    assert_same_steps(make_networks(), make_observation(teams, agents), teams, agents)


def test_steps_of_usual_sizes():
    sizes = {"hidden_size": 256, "deterministic_size": 256, "num_categoricals": 32, "num_classes": 32}
    assert_same_steps(make_networks(**sizes), make_observation(8, 5), 8, 5)


@pytest.mark.parametrize("mask_dead_agents", [True, False])
@pytest.mark.parametrize("comm_mask", [True, False])
def test_who_hears_whom(mask_dead_agents, comm_mask):
    networks = make_networks(mask_dead_agents=mask_dead_agents)
    assert_same_steps(networks, make_observation(4, 3, ended=2, comm_mask=comm_mask), 4, 3)


def test_without_communication():
    assert_same_steps(make_networks(communication=False), make_observation(4, 3), 4, 3)


def test_on_processors_without_onednn(monkeypatch):
    monkeypatch.setattr("rllib_mamba.world_model.prepared.has_onednn", lambda: False)
    assert_same_steps(make_networks(), make_observation(8, 3, ended=1), 8, 3)


@pytest.mark.parametrize("by_onednn", [True, False])
def test_in_mixed_precision_products_are_rounded_and_what_is_kept_is_not(by_onednn, monkeypatch):
    if not by_onednn:
        monkeypatch.setattr("rllib_mamba.world_model.prepared.has_onednn", lambda: False)
        monkeypatch.setattr("rllib_mamba.world_model.prepared.has_bfloat16_instructions", lambda: True)
    elif not has_bfloat16_instructions():
        pytest.skip("this processor has no bfloat16 products")
    networks, observation = make_networks(mixed_precision=True), make_observation(8, 3)
    state = networks.initial_state((8,), 3)
    _, following = networks.act(observation, state, greedy=True)
    _, expected = by_layers(networks, observation, state)
    assert following.deterministic.dtype is torch.float32
    assert_close(following.deterministic, expected.deterministic, atol=0.01, rtol=0)
    assert not torch.allclose(following.deterministic, expected.deterministic, atol=2e-6, rtol=1e-5)


def test_mixed_precision_on_processors_without_it_is_full_precision(monkeypatch):
    monkeypatch.setattr("rllib_mamba.world_model.prepared.has_bfloat16_instructions", lambda: False)
    assert_same_steps(make_networks(mixed_precision=True), make_observation(8, 3), 8, 3)


def test_random_steps_come_from_the_random_state():
    networks, observation = make_networks(), make_observation(8, 3)
    state = networks.initial_state((8,), 3)

    def drawn(seed):
        torch.manual_seed(seed)
        return networks.act(observation, state, greedy=False)[1]

    assert_close(drawn(5), drawn(5), atol=0, rtol=0)
    assert not torch.equal(drawn(5).latent, drawn(6).latent)


@pytest.mark.parametrize("name", ["world_model.encoder.layers.6.bias", "actor.layers.0.weight"])
def test_weights_changed_in_place_are_noticed(name):
    networks, observation = make_networks(), make_observation(4, 3)
    assert_same_steps(networks, observation, 4, 3)
    with torch.no_grad():
        networks.get_parameter(name).mul_(-3).add_(0.5)
    assert_same_steps(networks, observation, 4, 3)


def test_observations_in_units_that_change():
    networks, observation = make_networks(normalize_observations=True), make_observation(4, 3)
    assert_same_steps(networks, observation, 4, 3)
    for shift in (2.0, -5.0):
        seen = torch.randn(100, 6) * torch.tensor([0.1, 1.0, 20.0, 1.0, 1.0, 0.5]) + shift
        networks.world_model.normalizer.update(seen, torch.ones(100, dtype=torch.bool))
        assert_same_steps(networks, observation, 4, 3)


def test_loaded_weights_are_noticed():
    networks, observation = make_networks(), make_observation(4, 3)
    assert_same_steps(networks, observation, 4, 3)
    other = {name: torch.randn_like(value) * 0.3 for name, value in networks.state_dict().items()}
    networks.load_state_dict(other, assign=True)
    assert_same_steps(networks, observation, 4, 3)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda networks: pickle.loads(pickle.dumps(networks))])
def test_copies_after_acting(copied):
    networks, observation = make_networks(), make_observation(4, 3)
    state = networks.initial_state((4,), 3)
    expected = networks.act(observation, state, greedy=True)
    assert_close(copied(networks).act(observation, state, greedy=True), expected)
