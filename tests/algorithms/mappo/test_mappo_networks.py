"""Actors and critics: what they see, what they remember, whose weights are whose."""

import pytest
import torch
from torch import Tensor

from rllib_mamba.algorithms.mappo.acting import ActorConfig, TeamActor, sample
from rllib_mamba.algorithms.mappo.critic import Critic, CriticInputs
from rllib_mamba.algorithms.mappo.networks import NetworkSizes, TeamNetwork

AGENTS, OBSERVATION, ACTIONS, STATE = 3, 4, 5, 6


def sizes(**options: bool) -> NetworkSizes:
    return NetworkSizes(num_agents=AGENTS, hidden_size=16, **options)


def observation(*batch: int, ended: list[bool] | None = None) -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {
        "obs": torch.randn(*batch, AGENTS, OBSERVATION),
        "ended": torch.tensor(ended or [False] * AGENTS).expand(*batch, AGENTS),
        "state": torch.randn(*batch, STATE),
    }


@pytest.mark.parametrize("recurrent", [True, False])
@pytest.mark.parametrize("shared", [True, False])
def test_a_sequence_in_pieces_gives_what_it_gives_at_once(recurrent: bool, shared: bool) -> None:
    torch.manual_seed(0)
    network = TeamNetwork(OBSERVATION, 2, sizes(recurrent=recurrent, shared=shared))
    inputs = torch.randn(2, 6, AGENTS, OBSERVATION)
    initial = network.initial_state((2,))
    whole, last = network(inputs, initial)
    first, middle = network(inputs[:, :4], initial)
    second, end = network(inputs[:, 4:], middle)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)
    torch.testing.assert_close(end, last)
    # Without a GRU nothing is remembered; with one, what came before matters.
    forgetful, _ = network(inputs[:, 4:], initial)
    assert torch.allclose(forgetful, second, atol=1e-5) != recurrent


@pytest.mark.parametrize("shared", [True, False])
def test_every_agent_sees_only_what_is_its_own(shared: bool) -> None:
    torch.manual_seed(0)
    network = TeamNetwork(OBSERVATION, 2, sizes(shared=shared))
    inputs = torch.randn(1, 3, AGENTS, OBSERVATION)
    before, _ = network(inputs, network.initial_state((1,)))
    inputs[:, :, 1] += torch.arange(float(OBSERVATION))
    after, _ = network(inputs, network.initial_state((1,)))
    changed = (after - before).abs().amax(dim=(0, 1, 3)) > 1e-4
    assert changed.tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("shared", "agent_id", "alike"), [(True, False, True), (True, True, False), (False, False, False)]
)
def test_agents_that_see_the_same_act_alike_unless_told_apart(shared: bool, agent_id: bool, alike: bool) -> None:
    torch.manual_seed(0)
    actor = TeamActor(ActorConfig(OBSERVATION, ACTIONS, sizes(shared=shared), agent_id))
    same = torch.randn(1, 1, 1, OBSERVATION).expand(1, 1, AGENTS, OBSERVATION)
    logits, _ = actor(same, None, actor.initial_state((1,), AGENTS).hidden)
    assert torch.allclose(logits[0, 0, 0], logits[0, 0, 1]) == alike


def test_the_first_policy_is_nearly_uniform_and_illegal_actions_are_never_taken() -> None:
    torch.manual_seed(0)
    actor = TeamActor(ActorConfig(OBSERVATION, ACTIONS, sizes()))
    mask = torch.tensor([[1, 0, 1, 0, 1], [0, 0, 0, 1, 0], [1, 1, 1, 1, 1]])
    seen = {"obs": torch.randn(200, AGENTS, OBSERVATION), "action_mask": mask.expand(200, -1, -1)}
    state = actor.initial_state((200,), AGENTS)
    logits, _ = actor.step(seen, state)
    legal = torch.softmax(logits, dim=-1)[0, 0][mask[0] > 0]
    torch.testing.assert_close(legal, torch.full_like(legal, 1 / 3), atol=0.02, rtol=0)
    for greedy in (True, False):
        actions, _ = actor.act(seen, state, greedy)
        assert mask.expand(200, -1, -1).gather(-1, actions.unsqueeze(-1)).all()
    assert set(sample(logits)[:, 0].tolist()) == {0, 2, 4}


def seen_by_critic(batch: dict[str, Tensor], **options: object) -> Tensor:
    inputs = CriticInputs(AGENTS, OBSERVATION, **options)
    built = inputs.build(batch)
    assert built.shape == (*batch["obs"].shape[:-1], inputs.size)
    return built


def test_what_the_critic_sees() -> None:
    batch = observation(2, 7)
    own, place = batch["obs"], torch.eye(AGENTS).expand(2, 7, -1, -1)
    state = batch["state"].unsqueeze(-2).expand(2, 7, AGENTS, STATE)
    joined = own.flatten(-2).unsqueeze(-2).expand(2, 7, AGENTS, AGENTS * OBSERVATION)
    for options, expected in (
        ({"state_size": STATE}, [state, own, place]),
        ({}, [joined, own, place]),
        ({"state_size": STATE, "agent_specific": False}, [state]),
        ({"state_size": STATE, "agent_id_input": False}, [state, own]),
        ({"state_size": STATE, "centralized": False}, [own, place]),
        ({"centralized": False, "agent_id_input": False, "agent_specific": False}, [own]),
    ):
        assert seen_by_critic(batch, **options).equal(torch.cat(expected, dim=-1)), options


def test_the_dead_are_zeros_and_their_place() -> None:
    batch = observation(2, ended=[False, True, False])
    built = seen_by_critic(batch, state_size=STATE)
    assert built[:, 1, :-AGENTS].abs().max() == 0
    assert built[:, 1, -AGENTS:].tolist() == [[0.0, 1.0, 0.0]] * 2
    assert built[:, 0].equal(seen_by_critic(observation(2), state_size=STATE)[:, 0])
    # What they do not share with the living is masked, what they do is not.
    shared_alone = {"state_size": STATE, "agent_specific": False}
    assert seen_by_critic(batch, **shared_alone).equal(seen_by_critic(observation(2), **shared_alone))
    unmasked = seen_by_critic(batch, state_size=STATE, mask_dead=False)
    assert unmasked.equal(seen_by_critic(observation(2), state_size=STATE))


@pytest.mark.parametrize(("shared", "number"), [(True, 1), (False, AGENTS)])
def test_separate_critics_have_separate_statistics(shared: bool, number: int) -> None:
    critic = Critic(CriticInputs(AGENTS, OBSERVATION), sizes(shared=shared))
    assert critic.normalizer is not None
    assert critic.normalizer.mean.shape == (number,)
    values, _ = critic(observation(2, 5), critic.initial_state((2,)))
    assert values.shape == (2, 5, AGENTS)
