"""PPO losses on numbers worked out by hand, normalisation, and agents that have ended."""

import math

import pytest
import torch

from rllib_mamba.imagination import Critic, ImaginationOptions, Rollout, policy_loss, prepare, value_loss
from rllib_mamba.imagination.ppo import normalise, team_reward

HALF = torch.zeros(1, 1, 2)  # logits of two equally probable actions
FIRST = torch.zeros(1, 1, dtype=torch.int64)


def surrogate(old_probability: float, advantage: float) -> float:
    """Of an action whose probability has become one half."""
    old = torch.tensor([[math.log(old_probability)]])
    return policy_loss(HALF, FIRST, old, torch.tensor([[advantage]]), 0.2, 0.0).loss.item()


class TestPolicyLoss:
    def test_inside_the_clip_range_it_is_ratio_times_advantage(self):
        assert surrogate(0.5, 2.0) == pytest.approx(-2.0)
        assert surrogate(0.5 / 1.1, 2.0) == pytest.approx(-2.2)

    def test_a_ratio_that_went_too_far_in_the_right_direction_is_clipped(self):
        assert surrogate(0.25, 2.0) == pytest.approx(-2.4)
        assert surrogate(1.0, -2.0) == pytest.approx(1.6)

    def test_a_ratio_that_went_in_the_wrong_direction_is_not(self):
        assert surrogate(0.25, -2.0) == pytest.approx(4.0)
        assert surrogate(1.0, 2.0) == pytest.approx(-1.0)

    def test_entropy_is_rewarded(self):
        old = torch.tensor([[math.log(0.5)]])
        result = policy_loss(HALF, FIRST, old, torch.zeros(1, 1), 0.2, entropy_coefficient=0.1)
        assert result.entropy.item() == pytest.approx(math.log(2))
        assert result.loss.item() == pytest.approx(-0.1 * math.log(2))

    def test_clipped_fraction_and_kl(self):
        old = torch.tensor([[math.log(0.25), math.log(0.5)]])
        result = policy_loss(HALF.expand(1, 2, 2), FIRST.expand(1, 2), old, torch.ones(1, 2), 0.2, 0.0)
        assert result.clipped_fraction.item() == 0.5
        assert result.kl.item() == pytest.approx((2 - 1 - math.log(2)) / 2)

    def test_weightless_agents_teach_nothing(self):
        logits = torch.randn(5, 3, 4, requires_grad=True)
        weight = torch.ones(5, 3)
        weight[:, 1] = 0
        action = torch.zeros(5, 3, dtype=torch.int64)
        policy_loss(logits, action, torch.zeros(5, 3) - 1, torch.randn(5, 3), 0.2, 0.1, weight).loss.backward()
        assert not logits.grad[:, 1].any()
        assert logits.grad[:, 0].any()

    def test_a_masked_action_has_no_probability_and_no_gradient(self):
        logits = torch.zeros(1, 1, 3, requires_grad=True)
        masked = logits.masked_fill(torch.tensor([False, False, True]), -1e10)
        result = policy_loss(masked, FIRST, torch.tensor([[math.log(0.5)]]), torch.ones(1, 1), 0.2, 0.1)
        result.loss.backward()
        assert result.entropy.item() == pytest.approx(math.log(2))
        assert logits.grad[..., 2].item() == 0


def test_value_loss_is_half_the_squared_error():
    assert value_loss(torch.tensor([[1.0, 5.0]]), torch.tensor([[3.0, 4.0]])).item() == (2.0 + 0.5) / 2
    weight = torch.tensor([[0.0, 1.0]])
    assert value_loss(torch.tensor([[1.0, 5.0]]), torch.tensor([[3.0, 4.0]]), weight).item() == 0.25


def test_team_reward_is_the_mean_over_the_team():
    reward = torch.tensor([[1.0, 2.0, 6.0]])
    assert team_reward(reward).tolist() == [[3.0]]
    assert team_reward(reward, torch.tensor([[1.0, 0.0, 1.0]])).tolist() == [[3.5]]
    assert team_reward(reward, torch.zeros(1, 3)).tolist() == [[0.0]]


class TestNormalise:
    def test_mean_and_standard_deviation(self):
        values = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
        deviation = math.sqrt((4 + 1 + 0 + 9) / 3) + 1e-4
        expected = (values - 3) / deviation
        torch.testing.assert_close(normalise(values), expected)

    def test_weightless_entries_do_not_count(self):
        values = torch.tensor([[1.0, 100.0], [3.0, -50.0]])
        weighted = normalise(values, torch.tensor([1.0, 0.0]))
        torch.testing.assert_close(weighted[:, 0], normalise(values[:, :1])[:, 0])

    def test_learners_that_add_up_their_sums_normalise_as_one(self):
        torch.manual_seed(0)
        values = torch.randn(10, 3) * 5 + 2
        shares = values.split(5)
        sums = []
        for share in shares:
            normalise(share, reduce=lambda local: sums.append(local) or local)
        total = sum(sums)
        parts = [normalise(share, reduce=lambda _: total) for share in shares]
        torch.testing.assert_close(torch.cat(parts), normalise(values))

    def test_equal_advantages_become_zero(self):
        assert not normalise(torch.full((3, 2), 7.0)).any()


class TestPrepare:
    LENGTH, ITEMS, AGENTS, FEATURES = 4, 3, 2, 6

    def rollout(self, dead: torch.Tensor | None) -> Rollout:
        torch.manual_seed(0)
        steps = (self.LENGTH - 1, self.ITEMS, self.AGENTS)
        return Rollout(
            features=torch.randn(self.LENGTH, self.ITEMS, self.AGENTS, self.FEATURES),
            action=torch.zeros(steps, dtype=torch.int64),
            action_mask=None,
            policy_logits=torch.zeros(*steps, 2),
            reward=torch.randn(steps),
            continuation=torch.rand(steps),
            dead=dead,
        )

    def test_dead_agents_change_nothing_for_the_others(self):
        torch.manual_seed(1)
        critic = Critic(self.FEATURES, 8)
        dead = torch.tensor([[False, True]]).expand(self.ITEMS, 2)
        rollout = self.rollout(dead)
        changed = rollout._replace(features=rollout.features.clone(), reward=rollout.reward.clone())
        changed.features[..., 1, :] += 1
        changed.reward[..., 1] += 1
        options = ImaginationOptions(horizon=self.LENGTH)
        first, second = (prepare(each, critic, None, options) for each in (rollout, changed))
        torch.testing.assert_close(first.returns[:, 0], second.returns[:, 0])
        torch.testing.assert_close(first.advantage[:, 0], second.advantage[:, 0])
        heedless = prepare(changed._replace(dead=None), critic, None, options)
        assert not torch.allclose(first.returns[:, 0], heedless.returns[:, 0])

    def test_rows_know_their_start_state(self):
        dead = torch.tensor([[False, False], [False, True], [True, True]])
        critic = Critic(self.FEATURES, 8)
        experience = prepare(self.rollout(dead), critic, None, ImaginationOptions(horizon=self.LENGTH))
        assert len(experience) == (self.LENGTH - 1) * self.ITEMS
        rows = experience.rows(torch.tensor([7, 5, 0]))
        assert rows.weight.tolist() == [[1, 0], [0, 0], [1, 1]]
        assert rows.hear[0].tolist() == [[True, False], [True, True]]
        torch.testing.assert_close(rows.features[0], experience.features[7])

    def test_returns_use_the_target_critic_and_the_baseline_does_not(self):
        torch.manual_seed(2)
        critic, target = Critic(self.FEATURES, 8), Critic(self.FEATURES, 8)
        options = ImaginationOptions(horizon=self.LENGTH, normalise_advantages=False)
        rollout = self.rollout(None)
        experience = prepare(rollout, critic, target, options)
        torch.testing.assert_close(experience.returns, prepare(rollout, target, None, options).returns)
        torch.testing.assert_close(experience.returns - experience.advantage, critic(experience.features).detach())

    def test_an_own_reward_concerns_nobody_else(self):
        torch.manual_seed(3)
        critic = Critic(self.FEATURES, 8)
        rollout = self.rollout(None)
        changed = rollout._replace(reward=rollout.reward + torch.tensor([0.0, 1.0]))
        for shared in (True, False):
            options = ImaginationOptions(horizon=self.LENGTH, shared_reward=shared)
            first, second = (prepare(each, critic, None, options) for each in (rollout, changed))
            assert torch.equal(first.returns[:, 0], second.returns[:, 0]) is not shared
            assert not torch.equal(first.returns[:, 1], second.returns[:, 1])

    def test_rows_weigh_as_much_as_it_is_probable_that_the_agent_is_there(self):
        rollout = self.rollout(torch.tensor([[False, True]]).expand(self.ITEMS, 2))
        rollout.continuation[:] = torch.tensor([0.5, 0.25, 1.0])[:, None, None]
        options = ImaginationOptions(horizon=self.LENGTH, weigh_by_continuation=True)
        experience = prepare(rollout, Critic(self.FEATURES, 8), None, options)
        weight = experience.rows(torch.arange(len(experience))).weight.unflatten(0, (-1, self.ITEMS))
        assert weight[:, 0].tolist() == [[1.0, 0.0], [0.5, 0.0], [0.125, 0.0]]
        assert torch.equal(weight, weight[:, :1].expand_as(weight))

    def test_what_comes_after_an_agents_end_does_not_change_the_advantages_before(self):
        rollout = self.rollout(None)
        rollout.continuation[0] = 0.0
        changed = rollout._replace(reward=rollout.reward.clone())
        changed.reward[1:] += 100.0
        options = ImaginationOptions(horizon=self.LENGTH, weigh_by_continuation=True)
        critic = Critic(self.FEATURES, 8)
        first, second = (prepare(each, critic, None, options).advantage[: self.ITEMS] for each in (rollout, changed))
        torch.testing.assert_close(first, second)
