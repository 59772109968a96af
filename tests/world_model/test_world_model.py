"""The world model along sequences: resets, masks, targets at episode ends, and what must not matter."""

import dataclasses

import pytest
import torch

from rllib_mamba.world_model import (
    LatentState,
    ModeSampler,
    RandomSampler,
    SequenceOptions,
    WorldModel,
    WorldModelConfig,
    align,
    infer_start_states,
    world_model_losses,
)
from rllib_mamba.world_model.predictions import predict

B, T, N, O, A = 3, 7, 4, 5, 3  # noqa: E741
CONFIG = WorldModelConfig(
    observation_size=O,
    num_actions=A,
    hidden_size=16,
    deterministic_size=8,
    num_categoricals=3,
    num_classes=4,
    communication_dropout=0.0,
)
PAPER = SequenceOptions()
OURS = SequenceOptions(
    truncation_is_terminal=False, reset_previous_action=True, mask_dead_agents=True, mask_communication=True
)
SAMPLER = ModeSampler()


def build(**changes: object) -> WorldModel:
    torch.manual_seed(0)
    return WorldModel(dataclasses.replace(CONFIG, **changes)).eval()


def batch(**changes: torch.Tensor) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    arrays = {
        "obs": torch.randn(B, T, N, O, generator=generator),
        "action": torch.randint(A, (B, T, N), generator=generator),
        "reward": torch.randn(B, T, N, generator=generator),
        "terminated": torch.zeros(B, T, N, dtype=torch.bool),
        "alive": torch.ones(B, T, N, dtype=torch.bool),
        "last": torch.zeros(B, T, dtype=torch.bool),
        "truncated": torch.zeros(B, T, dtype=torch.bool),
    }
    return arrays | changes


def cut_after(step: int) -> dict[str, torch.Tensor]:
    """Every window has a time limit after the given step."""
    flags = torch.zeros(B, T, dtype=torch.bool)
    flags[:, step] = True
    return batch(last=flags, truncated=flags)


def part(arrays: dict[str, torch.Tensor], start: int, end: int) -> dict[str, torch.Tensor]:
    return {key: value[:, start:end] for key, value in arrays.items()}


class TestEpisodeEnds:
    def test_nothing_passes_from_one_episode_to_the_next(self):
        model, cut = build(), cut_after(2)
        other = dict(cut) | {"obs": cut["obs"].clone(), "action": cut["action"].clone()}
        other["obs"][:, :3] += 1
        other["action"][:, :3] = (other["action"][:, :3] + 1) % A
        first, second = (predict(model, align(arrays, OURS), SAMPLER).posterior_logits for arrays in (cut, other))
        assert not torch.equal(first[1], second[1])
        assert torch.equal(first[2:], second[2:])

    def test_as_published_the_last_action_of_an_episode_enters_the_next(self):
        model, cut = build(), cut_after(2)
        other = dict(cut) | {"action": cut["action"].clone()}
        other["action"][:, 2] = (other["action"][:, 2] + 1) % A
        first, second = (predict(model, align(arrays, PAPER), SAMPLER).posterior_logits for arrays in (cut, other))
        assert not torch.equal(first[2], second[2])

    def test_the_first_row_of_an_episode_starts_from_the_initial_state_and_no_action(self):
        model, cut = build(), cut_after(2)
        sequence = align(cut, OURS)
        predictions = predict(model, sequence, SAMPLER)
        _, logits, _ = model.observe_step(
            model.initial_state((B,), N), torch.zeros(B, N, A), model.encode(sequence.observation[2]), SAMPLER
        )
        torch.testing.assert_close(predictions.posterior_logits[2], logits)

    @pytest.mark.parametrize("options", [OURS, SequenceOptions(reset_previous_action=True)])
    def test_the_outcome_of_a_last_row_comes_from_its_true_state_and_action(self, options):
        model, cut = build(), cut_after(2)
        predictions = predict(model, align(cut, options), SAMPLER)
        uncut = predict(model, align(batch(), options), SAMPLER)
        torch.testing.assert_close(predictions.next_deterministic[:2], uncut.next_deterministic[:2])
        torch.testing.assert_close(predictions.reward[1], uncut.reward[1])
        assert not torch.allclose(predictions.next_deterministic[2], uncut.next_deterministic[2])

    def test_as_published_the_outcome_of_a_last_row_comes_from_the_zero_state(self):
        model, cut = build(), cut_after(2)
        sequence = align(cut, PAPER)
        predictions = predict(model, sequence, SAMPLER)
        action = torch.nn.functional.one_hot(sequence.previous_action[2], A).float()
        expected = model.rssm.transition(model.initial_state((B,), N), action)
        torch.testing.assert_close(predictions.next_deterministic[1], expected)

    def test_a_time_limit_teaches_the_continue_head_to_go_on(self):
        model, cut = build(), cut_after(3)
        paper = world_model_losses(model, align(cut, PAPER), SAMPLER)
        ours = world_model_losses(model, align(cut, OURS), SAMPLER)
        row = 2
        (gradient,) = torch.autograd.grad(paper.losses["continue"], paper.predictions.continue_logits)
        assert (gradient[row] > 0).all()
        (gradient,) = torch.autograd.grad(ours.losses["continue"], ours.predictions.continue_logits)
        assert (gradient < 0).all()

    def test_the_action_before_a_first_row_is_not_asked_for(self):
        cut = cut_after(2)
        other = dict(cut) | {"action": cut["action"].clone()}
        other["action"][:, 2] = (other["action"][:, 2] + 1) % A
        model = build()
        predictions = [predict(model, align(arrays, OURS), SAMPLER) for arrays in (cut, other)]
        losses = [world_model_losses(model, align(arrays, OURS), SAMPLER).losses for arrays in (cut, other)]
        assert torch.equal(predictions[0].action_information_logits, predictions[1].action_information_logits)
        assert torch.equal(losses[0]["action_information"], losses[1]["action_information"])
        assert not torch.equal(losses[0]["reward"], losses[1]["reward"])


class TestCommunication:
    def influenced(self, model: WorldModel, arrays: dict[str, torch.Tensor], options: SequenceOptions) -> set[int]:
        """Agents whose second posterior changes with the action that agent 1 took before."""
        other = dict(arrays) | {"action": arrays["action"].clone()}
        other["action"][:, 1, 1] = (other["action"][:, 1, 1] + 1) % A
        first, second = (predict(model, align(values, options), SAMPLER).posterior_logits for values in (arrays, other))
        return set((first[1] - second[1]).abs().amax((0, 2)).nonzero().flatten().tolist())

    def test_actions_reach_the_whole_team(self):
        assert self.influenced(build(), batch(), PAPER) == {0, 1, 2, 3}

    def test_without_communication_they_reach_nobody_else(self):
        assert self.influenced(build(communication=False), batch(), PAPER) == {1}

    def test_with_a_communication_mask_they_reach_those_who_hear(self):
        mask = torch.eye(N, dtype=torch.bool).repeat(B, T, 1, 1)
        mask[:, 2, 3, 1] = True
        arrays = batch(comm_mask=mask)
        assert self.influenced(build(), arrays, OURS) == {1, 3}
        assert self.influenced(build(), arrays, PAPER) == {0, 1, 2, 3}

    def test_the_outcome_of_a_last_row_depends_on_those_it_hears(self):
        mask = torch.eye(N, dtype=torch.bool).repeat(B, T, 1, 1)
        mask[:, 2, 3, 1] = True
        arrays = cut_after(2) | {"comm_mask": mask}
        other = dict(arrays) | {"action": arrays["action"].clone()}
        other["action"][:, 2, 1] = (other["action"][:, 2, 1] + 1) % A
        first, second = (predict(build(), align(each, OURS), SAMPLER).next_deterministic for each in (arrays, other))
        changed = (first[1] - second[1]).abs().amax((0, 2)).nonzero().flatten().tolist()
        assert changed == [1, 3]

    def test_dead_agents_are_not_heard(self):
        terminated = torch.zeros(B, T, N, dtype=torch.bool)
        terminated[:, :, 1] = True
        arrays = batch(terminated=terminated, alive=~terminated)
        assert self.influenced(build(), arrays, OURS) == {1}
        assert self.influenced(build(), arrays, PAPER) == {0, 1, 2, 3}


class TestLosses:
    def test_the_order_of_the_batch_does_not_matter(self):
        model, order = build(), torch.tensor([2, 0, 1])
        arrays = cut_after(2)
        shuffled = {key: value[order] for key, value in arrays.items()}
        first, second = (world_model_losses(model, align(values, OURS), SAMPLER) for values in (arrays, shuffled))
        for name, loss in first.losses.items():
            torch.testing.assert_close(loss, second.losses[name])
        torch.testing.assert_close(first.predictions.reward[:, order], second.predictions.reward)

    def test_the_action_mask_head_learns_where_there_is_one(self):
        model = build(predict_action_mask=True)
        sequence = align(batch(action_mask=torch.rand(B, T, N, A) > 0.5), OURS)
        assert world_model_losses(model, sequence, SAMPLER).losses["available_action"] > 0
        assert world_model_losses(build(), sequence, SAMPLER).losses["available_action"] == 0

    def test_a_batch_without_action_mask_is_refused_by_a_model_that_predicts_it(self):
        with pytest.raises(ValueError, match="no `action_mask`"):
            world_model_losses(build(predict_action_mask=True), align(batch(), OURS), SAMPLER)

    def test_scales_weigh_the_losses_by_name(self):
        outputs = world_model_losses(build(), align(batch(), OURS), SAMPLER)
        expected = outputs.total + 9 * outputs.losses["reward"] - outputs.losses["kl"]
        torch.testing.assert_close(outputs.weighted_total({"reward": 10.0, "kl": 0.0}), expected)
        torch.testing.assert_close(outputs.weighted_total({}), outputs.total)

    def test_every_parameter_gets_a_gradient(self):
        model = build(predict_action_mask=True, communication_dropout=0.1).train()
        sequence = align(cut_after(2) | {"action_mask": torch.rand(B, T, N, A) > 0.5}, OURS)
        world_model_losses(model, sequence, RandomSampler()).total.backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name

    def test_training_lowers_the_loss(self):
        model = build().train()
        sequence = align(cut_after(2), OURS)
        optimizer = torch.optim.Adam(model.parameters(), 3e-3)
        totals = []
        for _ in range(40):
            total = world_model_losses(model, sequence, RandomSampler()).total
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            totals.append(total.item())
        assert totals[-1] < 0.7 * totals[0]


class TestStartStates:
    @pytest.mark.parametrize("options", [PAPER, OURS])
    def test_are_the_posterior_of_every_row_with_targets(self, options):
        terminated = torch.zeros(B, T, N, dtype=torch.bool)
        terminated[0, 1:, 2] = True
        sequence = align(batch(terminated=terminated, comm_mask=torch.rand(B, T, N, N) > 0.5), options)
        model = build()
        from_losses = world_model_losses(model, sequence, SAMPLER).starts
        inferred = infer_start_states(model, sequence, SAMPLER)
        assert inferred.state.stochastic.shape == ((T - 2) * B, N, CONFIG.stochastic_size)
        torch.testing.assert_close(inferred.state.stochastic, from_losses.state.stochastic)
        torch.testing.assert_close(inferred.state.deterministic, from_losses.state.deterministic)
        if options is PAPER:
            assert inferred.hear is None
            assert inferred.dead is None
        else:
            assert torch.equal(inferred.dead, sequence.ended[: T - 2].flatten(0, 1))
            assert torch.equal(inferred.hear, sequence.hear_onward[: T - 2].flatten(0, 1))

    def test_carry_no_gradient(self):
        starts = world_model_losses(build(), align(batch(), PAPER), SAMPLER).starts
        assert not starts.state.stochastic.requires_grad
        assert not starts.state.deterministic.requires_grad


def test_latent_samples_are_one_hot_per_categorical():
    model = build()
    _, state = model.imagine_step(model.initial_state((2,), N), torch.zeros(2, N, A), RandomSampler())
    groups = state.stochastic.unflatten(-1, (CONFIG.num_categoricals, CONFIG.num_classes))
    torch.testing.assert_close(groups.sum(-1), torch.ones(2, N, CONFIG.num_categoricals))


def test_initial_state_is_zero():
    state = build().initial_state((2, 3), N)
    assert state.stochastic.shape == (2, 3, N, CONFIG.stochastic_size)
    assert state.features.shape == (2, 3, N, CONFIG.feature_size)
    assert not state.features.any()


def test_features_are_stochastic_before_deterministic():
    state = LatentState(torch.ones(2, 3), torch.zeros(2, 1))
    assert state.features.tolist() == [[1, 1, 1, 0]] * 2


def test_action_mask_head_must_be_asked_for():
    with pytest.raises(RuntimeError, match="predict_action_mask=True"):
        build().action_mask_logits(torch.zeros(1, CONFIG.feature_size))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 20}, "8 attention heads do not divide the hidden size 20"),
        ({"num_classes": 0}, "num_classes must be at least 1, got 0"),
        ({"communication_dropout": 1.0}, r"communication_dropout must lie in \[0, 1\), got 1.0"),
    ],
)
def test_impossible_configurations_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CONFIG, **changes)
