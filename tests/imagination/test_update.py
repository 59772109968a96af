"""Imagined trajectories and the agent update as a whole."""

import copy
import dataclasses

import pytest
import torch

from rllib_mamba.imagination import (
    Actor,
    AgentProgress,
    Critic,
    ImaginationOptions,
    agent_update,
    clip_gradients,
    imagine,
    prepare,
)
from rllib_mamba.world_model import LatentState, ModeSampler, RandomSampler, WorldModel, WorldModelConfig
from rllib_mamba.world_model.predictions import StartStates

M, N, A = 6, 3, 4
CONFIG = WorldModelConfig(
    observation_size=5, num_actions=A, hidden_size=16, deterministic_size=8, num_categoricals=3, num_classes=4
)
OPTIONS = ImaginationOptions(horizon=5, epochs=2, minibatch_size=10)


def build(**changes: object) -> tuple[WorldModel, Actor, Critic]:
    torch.manual_seed(0)
    config = dataclasses.replace(CONFIG, **changes)
    features = config.feature_size
    critic = Critic(features, 16, communication=config.communication)
    return WorldModel(config), Actor(features, 16, A), critic


def start(dead: torch.Tensor | None = None, hear: torch.Tensor | None = None) -> StartStates:
    generator = torch.Generator().manual_seed(1)
    classes = torch.randint(CONFIG.num_classes, (M, N, CONFIG.num_categoricals), generator=generator)
    stochastic = torch.nn.functional.one_hot(classes, CONFIG.num_classes).float().flatten(-2)
    deterministic = torch.randn(M, N, CONFIG.deterministic_size, generator=generator)
    return StartStates(LatentState(stochastic, deterministic), hear, dead)


def update(actor, critic, rollout, target=None, progress=None, options=OPTIONS, hook=None):
    return agent_update(
        actor,
        critic,
        target,
        rollout,
        torch.optim.Adam(actor.parameters(), 1e-3),
        torch.optim.Adam(critic.parameters(), 1e-3),
        options,
        progress or AgentProgress(1e-3),
        hook or clip_gradients(100.0),
    )


class RememberedAction(WorldModel):
    """A world that remembers the last action in h and pays 1 for action 0."""

    def imagine_indexed(self, state, action, sampler, hear=None):
        deterministic = torch.zeros_like(state.deterministic)
        deterministic[..., :A] = action
        return dataclasses.replace(state, deterministic=deterministic)

    def reward(self, features):
        return features.deterministic[..., 0]


class TestImagine:
    def test_follows_the_world_model(self):
        model, actor, _ = build()
        model.eval()
        begin, sampler = start(), ModeSampler()
        rollout = imagine(model, actor, begin, 4, sampler)
        assert rollout.features.shape == (4, M, N, CONFIG.feature_size)
        torch.testing.assert_close(rollout.features[0].dense(), begin.state.features)
        state = begin.state
        for step in range(3):
            logits = actor(state.features)
            torch.testing.assert_close(rollout.policy_logits[step], logits)
            action = sampler.one_hot(torch.softmax(logits, -1))
            assert torch.equal(rollout.action[step], action.argmax(-1))
            _, following = model.imagine_step(state, action, sampler)
            torch.testing.assert_close(rollout.features[step + 1].dense(), following.features)
            outcome = LatentState(state.stochastic, following.deterministic).features
            torch.testing.assert_close(rollout.reward[step], model.reward(outcome))
            torch.testing.assert_close(rollout.continuation[step], torch.sigmoid(model.continue_logits(outcome)))
            state = following

    def test_uses_evaluation_mode_and_leaves_the_mode_as_it_was(self):
        model, actor, _ = build(communication_dropout=0.9)
        model.train()
        first, second = (imagine(model, actor, start(), 4, ModeSampler()) for _ in range(2))
        assert torch.equal(first.features.dense(), second.features.dense())
        assert model.training

    def test_carries_no_gradient(self):
        model, actor, _ = build()
        rollout = imagine(model, actor, start(), 3, RandomSampler())
        parts = [rollout.features.deterministic, *rollout[1:]]
        assert not any(part.requires_grad for part in parts if part is not None)

    def test_takes_only_actions_that_it_imagines_to_be_legal(self):
        model, actor, _ = build(predict_action_mask=True)
        rollout = imagine(model, actor, start(), 12, RandomSampler())
        legal = rollout.action_mask.gather(-1, rollout.action.unsqueeze(-1)).squeeze(-1)
        some_legal = rollout.action_mask.any(-1)
        assert some_legal.any()
        assert legal[some_legal].all()
        assert (rollout.policy_logits[~rollout.action_mask] == -1e10).all()

    def test_policy_is_uniform_where_no_action_is_legal(self):
        model, actor, _ = build(predict_action_mask=True)
        torch.nn.init.constant_(model.action_mask_head.layers[-1].bias, -1e3)
        rollout = imagine(model, actor, start(), 3, RandomSampler())
        assert not rollout.action_mask.any()
        torch.testing.assert_close(torch.softmax(rollout.policy_logits, -1), torch.full((2, M, N, A), 1 / A))

    def test_unheard_agents_leave_no_trace_in_the_others(self):
        model, actor, _ = build()
        hear = torch.ones(M, N, N, dtype=torch.bool)
        hear[:, :2, 2] = False
        begin = start(hear=hear)
        other = StartStates(LatentState(begin.state.stochastic, begin.state.deterministic.clone()), hear)
        other.state.deterministic[:, 2] += 1
        first, second = (imagine(model, actor, each, 5, ModeSampler()).features.dense() for each in (begin, other))
        torch.testing.assert_close(first[..., :2, :], second[..., :2, :])
        assert not torch.allclose(first[1:, :, 2], second[1:, :, 2])


class TestActorCritic:
    def test_actor_masks_illegal_actions(self):
        _, actor, _ = build()
        features = torch.randn(2, N, CONFIG.feature_size)
        mask = torch.rand(2, N, A) > 0.5
        logits = actor(features, mask)
        torch.testing.assert_close(logits[mask], actor(features)[mask])
        assert (logits[~mask] == -1e10).all()

    def test_actor_sees_only_its_own_agent_and_the_critic_the_team(self):
        _, actor, critic = build()
        features = torch.randn(2, N, CONFIG.feature_size)
        other = features.clone()
        other[:, 0] += 1
        assert torch.equal(actor(features)[:, 1:], actor(other)[:, 1:])
        assert not torch.isclose(critic(features)[:, 1:], critic(other)[:, 1:]).any()

    def test_critic_without_communication_sees_one_agent(self):
        _, _, critic = build(communication=False)
        features = torch.randn(2, N, CONFIG.feature_size)
        other = features.clone()
        other[:, 0] += 1
        torch.testing.assert_close(critic(features)[:, 1:], critic(other)[:, 1:])

    def test_actor_matrices_are_orthogonal(self):
        _, actor, _ = build()
        for layer in actor.layers:
            if isinstance(layer, torch.nn.Linear):
                product = layer.weight @ layer.weight.T
                torch.testing.assert_close(product, torch.eye(len(product)), atol=1e-5, rtol=0)


class TestAgentUpdate:
    def test_every_row_is_used_once_per_epoch(self):
        model, actor, critic = build()
        rollout = imagine(model, actor, start(), OPTIONS.horizon, ModeSampler())
        rows = prepare(rollout, critic, None, OPTIONS).features.dense()
        seen = []
        actor.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].dense()))
        update(actor, critic, rollout)
        per_epoch = -(-len(rows) // OPTIONS.minibatch_size)
        assert len(seen) == OPTIONS.epochs * per_epoch
        orders = [torch.cat(seen[:per_epoch]), torch.cat(seen[per_epoch:])]
        key = rows.flatten(1).sum(-1).sort().values
        for order in orders:
            torch.testing.assert_close(order.flatten(1).sum(-1).sort().values, key)
        assert not torch.equal(*orders)

    def test_entropy_coefficient_decays_with_every_minibatch(self):
        model, actor, critic = build()
        rollout = imagine(model, actor, start(), OPTIONS.horizon, ModeSampler())
        progress, _ = update(actor, critic, rollout, progress=AgentProgress(0.5, 7))
        steps = OPTIONS.epochs * -(-(OPTIONS.horizon - 1) * M // OPTIONS.minibatch_size)
        assert progress.minibatches == 7 + steps
        assert progress.entropy_coefficient == pytest.approx(0.5 * OPTIONS.entropy_decay**steps)

    def test_target_critic_is_refreshed_at_its_interval(self):
        model, actor, critic = build()
        target = copy.deepcopy(critic)
        rollout = imagine(model, actor, start(), OPTIONS.horizon, ModeSampler())
        before = copy.deepcopy(target.state_dict())
        options = dataclasses.replace(OPTIONS, target_update=100)
        progress, _ = update(actor, critic, rollout, target, options=options)
        for name, value in target.state_dict().items():
            assert torch.equal(value, before[name])
        options = dataclasses.replace(OPTIONS, target_update=progress.minibatches * 2)
        update(actor, critic, rollout, target, progress, options)
        for name, value in target.state_dict().items():
            assert torch.equal(value, critic.state_dict()[name])

    def test_gradient_hook_sees_each_network_in_turn(self):
        model, actor, critic = build()
        rollout = imagine(model, actor, start(), OPTIONS.horizon, ModeSampler())
        seen = []

        def hook(module):
            assert all(parameter.grad is not None for parameter in module.parameters())
            seen.append(module)
            for parameter in module.parameters():
                parameter.grad.zero_()
            return torch.tensor(3.0)

        before = copy.deepcopy(actor.state_dict())
        _, metrics = update(actor, critic, rollout, hook=hook)
        assert seen[::2] == [actor] * (len(seen) // 2)
        assert seen[1::2] == [critic] * (len(seen) // 2)
        assert metrics["actor_gradient_norm"] == metrics["critic_gradient_norm"] == 3
        for name, value in actor.state_dict().items():
            assert torch.equal(value, before[name])

    def test_the_world_model_is_left_alone(self):
        model, actor, critic = build()
        rollout = imagine(model, actor, start(), OPTIONS.horizon, RandomSampler())
        update(actor, critic, rollout)
        assert all(parameter.grad is None for parameter in model.parameters())

    def test_dead_agents_teach_nothing(self):
        model, actor, critic = build()
        dead = torch.ones(M, N, dtype=torch.bool)
        rollout = imagine(model, actor, start(dead=dead), OPTIONS.horizon, RandomSampler())
        _, metrics = update(actor, critic, rollout)
        assert metrics["actor_gradient_norm"] == 0
        assert metrics["critic_gradient_norm"] == 0

    def test_the_critic_learns_as_if_dead_agents_were_not_there(self):
        dead = torch.tensor([False, False, True]).expand(M, N)
        parameters = []
        for shift in (0.0, 5.0):
            model, actor, critic = build()
            rollout = imagine(model, actor, start(dead=dead), OPTIONS.horizon, ModeSampler())
            rollout.features.deterministic[..., 2, :] += shift
            torch.manual_seed(0)
            update(actor, critic, rollout)
            parameters.append(torch.cat([parameter.flatten() for parameter in critic.parameters()]))
        torch.testing.assert_close(*parameters)

    def test_learns_to_take_the_rewarded_action(self):
        _, actor, critic = build()
        model = RememberedAction(CONFIG)
        optimizers = torch.optim.Adam(actor.parameters(), 3e-3), torch.optim.Adam(critic.parameters(), 3e-3)
        progress, rewards = AgentProgress(1e-3), []
        for _ in range(30):
            rollout = imagine(model, actor, start(), OPTIONS.horizon, RandomSampler())
            progress, metrics = agent_update(
                actor, critic, None, rollout, *optimizers, OPTIONS, progress, clip_gradients(100.0)
            )
            rewards.append(float(metrics["imagined_reward"]))
        assert rewards[0] < 0.5
        assert rewards[-1] > 0.9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"horizon": 1}, "horizon must be at least 2"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"gamma": 1.5}, r"gamma must lie in \[0, 1\], got 1.5"),
        ({"clip": 0.0}, "clip must be positive, got 0.0"),
    ],
)
def test_impossible_options_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        ImaginationOptions(**changes)
