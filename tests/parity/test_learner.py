"""World model, imagination and agent update against numbers recorded from the original implementation.

Latents and actions are the mode instead of a sample, and dropout is off, as in the recording.
"""

import copy
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from recordings import Recording
from torch import Tensor
from weights import (
    actor_parameters,
    critic_parameters,
    recorded_actor,
    recorded_critic,
    recorded_world_model,
    world_model_parameters,
)

from rllib_mamba.imagination import (
    AgentProgress,
    ImaginationOptions,
    agent_update,
    clip_gradients,
    gradient_step,
    imagine,
    policy_loss,
    prepare,
    value_loss,
)
from rllib_mamba.imagination.ppo import Experience, clipped_surrogate, entropy, normalise, team_reward
from rllib_mamba.world_model import (
    AlignedSequence,
    LatentState,
    ModeSampler,
    SequenceOptions,
    StartStates,
    WorldModel,
    align,
    infer_start_states,
    world_model_losses,
)
from rllib_mamba.world_model.losses import WorldModelOutputs, balanced_kl

LOSS_NAMES = {
    "div": "kl",
    "reward": "reward",
    "cont": "continue",
    "avail": "available_action",
    "reconstruction": "reconstruction",
    "info": "action_information",
}
NOISE_GRADIENT = 1e-6
SAMPLER = ModeSampler()


def assert_close(actual: Tensor | float, expected: Tensor | float, name: str, rtol: float = 1e-4, atol: float = 1e-5):
    actual, expected = (torch.as_tensor(value).detach().double() for value in (actual, expected))
    assert actual.shape == expected.shape, name
    np.testing.assert_allclose(actual.numpy(), expected.numpy(), rtol=rtol, atol=atol, err_msg=name)


def assert_parameters_close(
    actual: Mapping[str, Tensor], expected: Mapping[str, Tensor], gradients: Mapping[str, Tensor], **tolerance: float
) -> None:
    """Compare parameters after Adam where the gradient was more than rounding noise."""
    for name, value in expected.items():
        known = gradients[name].abs() > NOISE_GRADIENT
        if name.endswith("qkv.bias"):
            known = without_key_bias(known)
        assert known.any(), name
        assert_close(actual[name][known], value[known], name, **tolerance)


def without_key_bias(known: Tensor) -> Tensor:
    """The exact gradient of the attention keys' bias is zero; what is recorded for it is noise."""
    query, _, value = known.chunk(3)
    return torch.cat([query, torch.zeros_like(query), value])


def prefixed(arrays: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}


def sizes(recording: Recording) -> dict[str, int]:
    return recording.scalars["shapes"]


def replayed_batch(recording: Recording) -> dict[str, Tensor]:
    """The recorded windows as the replay gives them: batch first, actions as integers."""
    raw = {name: value.transpose(0, 1) for name, value in prefixed(recording.tensors("replay"), "raw.").items()}
    last = raw["last"][..., 0, 0].bool()
    batch = {
        "obs": raw["observation"],
        "action": raw["action"].argmax(-1),
        "reward": raw["reward"].squeeze(-1),
        "terminated": raw["done"].squeeze(-1).bool(),
        "alive": ~raw["fake"].squeeze(-1).bool(),
        "last": last,
        "truncated": torch.zeros_like(last),
    }
    if "av_action" in raw:
        batch["action_mask"] = raw["av_action"].bool()
    return batch


def imagination_options(recording: Recording, **changes: int) -> ImaginationOptions:
    config = recording.scalars["config"]
    options = {
        "horizon": config["HORIZON"],
        "gamma": config["GAMMA"],
        "trace_decay": config["DISCOUNT_LAMBDA"],
        "epochs": config["PPO_EPOCHS"],
        "entropy_decay": config["ENTROPY_ANNEALING"],
        "target_update": config["TARGET_UPDATE"],
        "normalise_advantages": recording.scalars["variant"] == "starcraft",
    }
    return ImaginationOptions(**{**options, **changes})


@pytest.fixture
def sequence(recording) -> AlignedSequence:
    return align(replayed_batch(recording), SequenceOptions())


@pytest.fixture
def model(recording) -> WorldModel:
    return recorded_world_model(recording.weights, sizes(recording))


@pytest.fixture
def outputs(model, sequence) -> WorldModelOutputs:
    return world_model_losses(model, sequence, SAMPLER)


@pytest.fixture
def actor(recording):
    return recorded_actor(recording.weights, sizes(recording))


@pytest.fixture
def critic(recording):
    return recorded_critic(recording.weights, sizes(recording))


@pytest.fixture
def target_critic(recording):
    if "old_critic.embed.weight" not in recording.weights:
        return None
    return recorded_critic(recording.weights, sizes(recording), "old_critic.")


def rollout_from_replay(recording, model, actor, sequence, horizon):
    return imagine(model, actor, infer_start_states(model, sequence, SAMPLER), horizon, SAMPLER)


class TestAlignment:
    def test_rows_pair_observations_with_the_action_before(self, recording, sequence):
        shifted = prefixed(recording.tensors("replay"), "shifted.")
        assert_close(sequence.observation, shifted["observation"], "observation")
        assert torch.equal(sequence.previous_action, shifted["action"].argmax(-1))
        assert torch.equal(sequence.alive, ~shifted["fake"].squeeze(-1).bool())
        assert torch.equal(sequence.last, shifted["last"][..., 0, 0].bool())
        if "av_action" in shifted:
            assert torch.equal(sequence.action_mask, shifted["av_action"].bool())

    def test_targets_follow_the_observation(self, recording, sequence):
        shifted = prefixed(recording.tensors("replay"), "shifted.")
        assert_close(sequence.reward, shifted["reward"][1:].squeeze(-1), "reward")
        assert torch.equal(sequence.done, shifted["done"][1:].squeeze(-1).bool())


class TestModules:
    @pytest.fixture
    def step(self, recording):
        return prefixed(recording.tensors("onestep"), "step.")

    @pytest.fixture(params=["nomask", "mask"])
    def attention(self, request, step):
        """The recorded results and who hears whom; the recorded mask is true where nobody may look."""
        return prefixed(step, f"{request.param}."), None if request.param == "nomask" else ~step["mask"]

    def test_encoder(self, model, step):
        assert_close(model.encode(step["observation"]), step["embed"], "embed")

    def test_communication(self, model, step, attention):
        expected, hear = attention
        assert_close(model.rssm.communication(step["dyn_input"], hear), expected["attn_out"], "attn_out")

    def test_message(self, model, step):
        messages = []
        hook = model.rssm.communication.register_forward_pre_hook(lambda _, inputs: messages.append(inputs[0]))
        model.rssm.transition(LatentState(step["prev_stoch"], step["prev_deter"]), step["prev_action"])
        hook.remove()
        assert_close(messages[0], step["dyn_input"], "dyn_input")

    def test_observe_step(self, model, step, attention):
        expected, hear = attention
        previous = LatentState(step["prev_stoch"], step["prev_deter"])
        prior_logits, posterior_logits, posterior = model.observe_step(
            previous, step["prev_action"], step["embed"], SAMPLER, hear
        )
        assert_close(prior_logits, expected["prior_logits"], "prior_logits")
        assert_close(posterior_logits, expected["post_logits"], "post_logits")
        assert_close(posterior.stochastic, expected["post_stoch"], "post_stoch")
        assert_close(posterior.deterministic, expected["deter"], "deter")

    def test_imagine_step(self, model, step, attention):
        expected, hear = attention
        previous = LatentState(step["prev_stoch"], step["prev_deter"])
        logits, state = model.imagine_step(previous, step["prev_action"], SAMPLER, hear)
        assert_close(logits, expected["prior_logits"], "prior_logits")
        assert_close(state.stochastic, expected["prior_stoch"], "prior_stoch")
        assert_close(state.deterministic, expected["deter"], "deter")

    def test_heads(self, recording, model, actor, critic, target_critic):
        expected = prefixed(recording.tensors("onestep"), "heads.")
        features = expected["feature"]
        reconstruction, hidden = model.decode(features)
        actual = {
            "decoder_out": reconstruction,
            "decoder_hidden": hidden,
            "reward": model.reward(features).unsqueeze(-1),
            "continue_prob": torch.sigmoid(model.continue_logits(features)).unsqueeze(-1),
            "action_info_logits": model.action_information(hidden),
            "actor_logits": actor(features),
            "critic_value": critic(features).unsqueeze(-1),
        }
        if model.config.predict_action_mask:
            actual["avail_prob"] = torch.sigmoid(model.action_mask_logits(features))
        if target_critic is not None:
            actual["old_critic_value"] = target_critic(features).unsqueeze(-1)
        assert actual.keys() == expected.keys() - {"feature"}
        for name, value in actual.items():
            assert_close(value, expected[name], name)


class TestWorldModel:
    def test_unroll(self, recording, model, sequence, outputs):
        expected, predictions = recording.tensors("model"), outputs.predictions
        posterior = predictions.posterior
        actual = {
            "embed": model.encode(sequence.observation),
            "prior.logits": predictions.prior_logits,
            "prior.stoch": model.rssm.sample(predictions.prior_logits, SAMPLER),
            "prior.deter": posterior.deterministic,
            "post.logits": predictions.posterior_logits,
            "post.stoch": posterior.stochastic,
            "post.deter": posterior.deterministic,
            "deter_next": predictions.next_deterministic,
            "reconstruction": predictions.reconstruction,
            "reward_pred": predictions.reward.unsqueeze(-1),
            "continue_prob": torch.sigmoid(predictions.continue_logits).unsqueeze(-1),
            "action_info_logits": predictions.action_information_logits,
            "kl_balanced": balanced_kl(
                predictions.prior_logits, predictions.posterior_logits, model.config.num_categoricals
            ),
        }
        if predictions.action_mask_logits is not None:
            actual["avail_prob"] = torch.sigmoid(predictions.action_mask_logits)
        recorded = {name for name in expected if not name.startswith(("grad.", "after_adam."))}
        assert actual.keys() == recorded
        for name, value in actual.items():
            assert_close(value, expected[name], name)

    def test_losses(self, recording, outputs):
        assert outputs.losses.keys() == set(LOSS_NAMES.values())
        for recorded, name in LOSS_NAMES.items():
            assert_close(outputs.losses[name], recording.scalars[f"model_loss.{recorded}"], name)
        assert_close(outputs.total, recording.scalars["model_loss.total"], "total")

    def test_gradients(self, recording, model, outputs):
        outputs.total.backward()
        expected = prefixed(recording.tensors("model"), "grad.")
        gradients = {name: parameter.grad for name, parameter in world_model_parameters(model).items()}
        assert gradients.keys() == expected.keys()
        for name, value in expected.items():
            assert_close(gradients[name], value, name)
            assert_close(gradients[name].norm(), recording.scalars["model_grad_norm"][name], name)
        norm = torch.stack([gradient.norm() for gradient in gradients.values()]).norm()
        assert_close(norm, recording.scalars["model_grad_norm_total"], "global norm")

    def test_one_adam_step(self, recording, model, sequence, outputs):
        config, expected = recording.scalars["config"], recording.tensors("model")
        parameters = world_model_parameters(model)
        before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
        optimizer = torch.optim.Adam(model.parameters(), config["MODEL_LR"])
        gradient_step(outputs.total, model, optimizer, clip_gradients(config["GRAD_CLIP"]))
        assert_parameters_close(parameters, prefixed(expected, "after_adam."), prefixed(expected, "grad."))
        for name, norm in recording.scalars["model_delta_norm_after_one_adam_step"].items():
            noisy = name.endswith("qkv.bias")
            assert_close((parameters[name] - before[name]).norm(), norm, name, rtol=0.025 if noisy else 1e-3)
        after = world_model_losses(model, sequence, SAMPLER)
        for recorded, name in LOSS_NAMES.items():
            assert_close(after.losses[name], recording.scalars[f"model_loss_after_one_adam_step.{recorded}"], name)
        assert_close(after.total, recording.scalars["model_loss_after_one_adam_step.total"], "total")

    def test_every_parameter_is_recorded(self, model):
        assert len(world_model_parameters(model)) == len(list(model.parameters()))


class TestImagination:
    @pytest.fixture
    def expected(self, recording):
        return recording.tensors("imagine")

    @pytest.fixture
    def start(self, expected):
        return StartStates(LatentState(expected["start.stoch"], expected["start.deter"]))

    @pytest.fixture
    def longer_rollout(self, recording, model, actor, start):
        """One state more than recorded: the recording holds the outcome of the last state's action, too."""
        return imagine(model, actor, start, sizes(recording)["horizon"] + 1, SAMPLER)

    def test_start_states(self, model, sequence, outputs, expected):
        for starts in (outputs.starts, infer_start_states(model, sequence, SAMPLER)):
            assert_close(starts.state.stochastic, expected["start.stoch"], "start.stoch")
            assert_close(starts.state.deterministic, expected["start.deter"], "start.deter")
            assert not starts.state.deterministic.requires_grad

    def test_states(self, longer_rollout, expected):
        features = torch.cat([expected["stoch"], expected["deter"]], -1)
        assert_close(longer_rollout.features[:-1].dense(), features, "features")

    def test_logits(self, model, outputs, expected):
        assert_close(outputs.predictions.posterior_logits.flatten(0, 1), expected["logits"][0], "logits of row 0")
        state = LatentState(expected["stoch"][:-1], expected["deter"][:-1])
        logits, _ = model.imagine_step(state, expected["action"][:-1], SAMPLER)
        assert_close(logits, expected["logits"][1:], "logits")

    def test_policy(self, longer_rollout, expected):
        assert torch.equal(longer_rollout.action, expected["action"].argmax(-1))
        assert_close(longer_rollout.policy_logits, expected["policy_logits"], "policy_logits")
        assert ("avail" in expected) == (longer_rollout.action_mask is not None)
        if "avail" in expected:
            assert torch.equal(longer_rollout.action_mask, expected["avail"].bool())

    def test_rewards_and_continuation(self, longer_rollout, expected):
        assert_close(longer_rollout.reward.unsqueeze(-1), expected["reward_per_agent"], "reward_per_agent")
        reward = team_reward(longer_rollout.reward[:-1]).unsqueeze(-1)
        assert_close(reward, expected["reward_team"], "reward_team")
        assert_close(longer_rollout.continuation[:-1].unsqueeze(-1), expected["continue_prob"], "continue_prob")

    def test_values_and_returns(self, recording, model, actor, critic, target_critic, start, expected):
        rollout = imagine(model, actor, start, sizes(recording)["horizon"], SAMPLER)
        value = (critic if target_critic is None else target_critic)(rollout.features)
        assert_close(value.unsqueeze(-1), expected["value"], "value")
        experience = prepare(rollout, critic, target_critic, imagination_options(recording))
        assert_close(experience.returns.unsqueeze(-1), expected["return"].flatten(0, 1), "return")


class TestAgentUpdate:
    @pytest.fixture
    def expected(self, recording):
        return recording.tensors("ppo")

    @pytest.fixture
    def rollout(self, recording, model, actor, sequence):
        return rollout_from_replay(recording, model, actor, sequence, sizes(recording)["horizon"])

    def test_experience(self, recording, critic, target_critic, rollout, expected):
        options = imagination_options(recording)
        experience = prepare(rollout, critic, target_critic, options)
        assert_close(experience.features.dense(), expected["feature"], "feature")
        assert torch.equal(experience.action, expected["action"].argmax(-1))
        if "avail" in expected:
            assert torch.equal(experience.action_mask, expected["avail"].bool())
        assert_close(rollout.policy_logits.flatten(0, 1), expected["old_policy_logits"], "old_policy_logits")
        assert_close(experience.returns.unsqueeze(-1), expected["return"], "return")
        assert_close(experience.advantage.unsqueeze(-1), expected["advantage"], "advantage")
        for name, normalised in (("advantage_raw", False), ("advantage_normalised", True)):
            other = prepare(
                rollout, critic, target_critic, imagination_options(recording, normalise_advantages=normalised)
            )
            assert_close(other.advantage.unsqueeze(-1), expected[name], name)
        raw = expected["advantage_raw"].squeeze(-1)
        assert_close(normalise(raw).unsqueeze(-1), expected["advantage_normalised"], "advantage_normalised")
        assert_close(critic(experience.features).unsqueeze(-1), expected["baseline"], "baseline")

    @pytest.mark.parametrize("policy", ["same", "new"])
    def test_policy_loss(self, recording, expected, policy):
        options, scalars = imagination_options(recording), recording.scalars
        prefix = {"same": "actor.", "new": "actor_new."}[policy]
        actor = recorded_actor(recording.weights, sizes(recording), prefix)
        experience = recorded_experience(expected)
        logits = actor(experience.features, experience.action_mask)
        log_probabilities = torch.log_softmax(logits, -1)
        taken = log_probabilities.gather(-1, experience.action.unsqueeze(-1)).squeeze(-1)
        ratio = (taken - experience.log_probability).exp()
        surrogate = clipped_surrogate(ratio, experience.advantage, options.clip)
        assert_close(logits, expected[f"{policy}.policy_logits"], "policy_logits")
        assert_close(ratio.unsqueeze(-1), expected[f"{policy}.ratio"], "ratio")
        assert_close(surrogate.unsqueeze(-1), expected[f"{policy}.policy_loss"], "policy_loss")
        assert_close(-entropy(log_probabilities), expected[f"{policy}.neg_entropy"], "neg_entropy")

        coefficient = scalars["config"]["ENTROPY"]
        result = policy_loss(
            logits, experience.action, experience.log_probability, experience.advantage, options.clip, coefficient
        )
        # With normalised advantages the surrogate of the same policy is a difference of nearly equal numbers.
        assert_close(result.surrogate, scalars[f"actor_{policy}.policy_loss_mean"], "surrogate", atol=1e-6)
        assert_close(result.loss, scalars[f"actor_{policy}.loss"], "loss", atol=1e-6)
        assert_close(-result.entropy, scalars[f"actor_{policy}.neg_entropy_mean"], "entropy")
        assert_close(result.clipped_fraction, scalars[f"actor_{policy}.clipped_fraction"], "clipped_fraction")
        result.loss.backward()
        assert_gradients_close(actor_parameters(actor), expected, f"actor_{policy}", scalars)

    def test_value_loss(self, recording, critic, expected):
        experience = recorded_experience(expected)
        loss = value_loss(critic(experience.features), experience.returns)
        assert_close(loss, recording.scalars["value_loss"], "value_loss")
        loss.backward()
        assert_gradients_close(critic_parameters(critic), expected, "critic", recording.scalars)

    def test_complete_update(self, recording, actor, critic, target_critic, rollout, expected):
        assert recording.scalars["train_agent.rows"] == rollout.action.shape[:2].numel()
        metrics = update(recording, actor, critic, target_critic, rollout)[1]
        # The steps that follow gradients of rounding size differ, and after five epochs so does what they lead to.
        assert_parameters_close(
            actor_parameters(actor), prefixed(expected, "after.actor."), prefixed(expected, "grad.actor_same.")
        )
        assert_parameters_close(
            critic_parameters(critic), prefixed(expected, "after.critic."), prefixed(expected, "grad.critic.")
        )
        assert metrics["actor_loss"].isfinite()
        if target_critic is not None:
            assert recording.scalars["train_agent.old_critic_equals_critic_after"]
            for ours, theirs in zip(critic.parameters(), target_critic.parameters(), strict=True):
                assert torch.equal(ours, theirs)

    def test_losses_of_every_epoch(self, recording, actor, critic, target_critic, rollout):
        """Sums over one to five epochs, each begun anew; their differences are the losses of single epochs."""
        scalars = recording.scalars
        sums = {"actor_loss": [0.0], "value_loss": [0.0]}
        for epochs in range(1, scalars["config"]["PPO_EPOCHS"] + 1):
            progress, metrics = update(
                recording, *copy.deepcopy((actor, critic, target_critic)), rollout, epochs=epochs
            )
            for name, values in sums.items():
                values.append(float(metrics[name]) * epochs)
            used = progress.entropy_coefficient / scalars["config"]["ENTROPY_ANNEALING"]
            assert used == pytest.approx(scalars["train_agent.entropy_coeff_per_epoch"][epochs - 1], rel=1e-9)
        for name in sums:
            assert_close(torch.tensor(sums[name]).diff(), torch.tensor(scalars[f"train_agent.{name}_per_epoch"]), name)


def recorded_experience(expected: Mapping[str, Tensor]) -> Experience:
    action = expected["action"].argmax(-1)
    old = torch.log_softmax(expected["old_policy_logits"], -1).gather(-1, action.unsqueeze(-1)).squeeze(-1)
    return Experience(
        features=expected["feature"],
        action=action,
        action_mask=expected["avail"].bool() if "avail" in expected else None,
        log_probability=old,
        returns=expected["return"].squeeze(-1),
        advantage=expected["advantage"].squeeze(-1),
        dead=None,
        weight=None,
    )


def assert_gradients_close(parameters, expected, name, scalars):
    recorded = prefixed(expected, f"grad.{name}.")
    assert parameters.keys() == recorded.keys()
    for parameter, value in recorded.items():
        assert_close(parameters[parameter].grad, value, parameter)
        assert_close(parameters[parameter].grad.norm(), scalars[f"{name}.grad_norm"][parameter], parameter)
    norm = torch.stack([parameter.grad.norm() for parameter in parameters.values()]).norm()
    assert_close(norm, scalars[f"{name}.grad_norm_total"], "global norm")


def update(recording, actor, critic, target_critic, rollout, **changes):
    config = recording.scalars["config"]
    return agent_update(
        actor,
        critic,
        target_critic,
        rollout,
        torch.optim.Adam(actor.parameters(), config["ACTOR_LR"], weight_decay=1e-5),
        torch.optim.Adam(critic.parameters(), config["VALUE_LR"]),
        imagination_options(recording, **changes),
        AgentProgress(config["ENTROPY"]),
        clip_gradients(config["GRAD_CLIP_POLICY"]),
    )


def test_nine_steps_of_acting(recording, model, actor):
    steps = recording.tensors("controller")
    num_agents, num_actions = sizes(recording)["n_agents"], sizes(recording)["n_actions"]
    for step, reset in enumerate(steps["reset_before_step"]):
        if reset:
            state = model.initial_state((1,), num_agents)
            action = torch.zeros(1, num_agents, num_actions)
        embedding = model.encode(steps["observation"][step : step + 1])
        hear = ~steps["mask"][step : step + 1] if "mask" in steps else None
        _, posterior_logits, state = model.observe_step(state, action, embedding, SAMPLER, hear)
        mask = steps["avail"][step : step + 1].bool() if "avail" in steps else None
        action = SAMPLER.one_hot(torch.softmax(actor(state.features, mask), -1))
        actual = {
            "action": action,
            "stoch": state.stochastic,
            "deter": state.deterministic,
            "post_logits": posterior_logits,
            "policy_logits_unmasked": actor(state.features),
        }
        for name, value in actual.items():
            assert_close(value[0], steps[name][step], f"{name} of step {step}")
