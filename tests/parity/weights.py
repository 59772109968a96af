"""Recorded parameters in our modules, and ours by their recorded names."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from rllib_mamba.imagination import Actor, Critic
from rllib_mamba.world_model import WorldModel, WorldModelConfig
from rllib_mamba.world_model.communication import AttentionLayer

ATTENTION = {
    "qkv": "query_key_value",
    "out": "output",
    "ff1": "feed_forward_in",
    "ff2": "feed_forward_out",
    "ln1": "norm_attention",
    "ln2": "norm_feed_forward",
}


def world_model_layers(model: WorldModel) -> dict[str, nn.Module]:
    """Our layers with weight and bias by their recorded names, without the prefix `model.`."""
    decoder = [*linear_layers(model.decoder.trunk), model.decoder.output]
    layers = {
        **numbered("encoder", linear_layers(model.encoder)),
        **numbered("decoder", decoder),
        "dynamics.input": model.rssm.message,
        **numbered("prior", linear_layers(model.rssm.prior_layers)),
        **numbered("posterior", [model.rssm.posterior_hidden, model.rssm.posterior_output]),
        **numbered("reward", linear_layers(model.reward_head)),
        **numbered("continue", linear_layers(model.continue_head)),
        **numbered("action_info", linear_layers(model.action_information_head)),
    }
    if model.action_mask_head is not None:
        layers |= numbered("avail", linear_layers(model.action_mask_head))
    for index, layer in enumerate(model.rssm.communication.layers):
        layers |= attention_layers(f"dynamics.attn{index}", layer)
    return layers


def world_model_parameters(model: WorldModel) -> dict[str, Tensor]:
    """Our parameters by their recorded names, without the prefix `model.`."""
    recurrence = model.rssm.recurrence
    gates = {f"dynamics.gru.{name}": parameter for name, parameter in recurrence.named_parameters()}
    return named_parameters(world_model_layers(model)) | gates


def actor_parameters(actor: Actor) -> dict[str, Tensor]:
    """Our parameters by their recorded names, without the prefix `actor.`."""
    return named_parameters({str(index): layer for index, layer in enumerate(linear_layers(actor))})


def critic_parameters(critic: Critic) -> dict[str, Tensor]:
    """Our parameters by their recorded names, without the prefix `critic.`."""
    (attention,) = critic.attention.layers
    head = numbered("head", linear_layers(critic.head))
    return named_parameters({"embed": critic.embedding, **attention_layers("attn0", attention), **head})


def recorded_world_model(weights: Mapping[str, Tensor], sizes: Mapping[str, int], dropout: float = 0.0) -> WorldModel:
    """A world model of the recorded sizes with the recorded parameters."""
    model = WorldModel(
        WorldModelConfig(
            observation_size=sizes["obs_dim"],
            num_actions=sizes["n_actions"],
            hidden_size=sizes["hidden"],
            deterministic_size=sizes["deter"],
            num_categoricals=sizes["n_categoricals"],
            num_classes=sizes["n_classes"],
            communication_layers=sizes["dynamics_attention_layers"],
            communication_heads=sizes["attention_heads"],
            communication_dropout=dropout,
            predict_action_mask="model.avail.0.weight" in weights,
        )
    )
    load(world_model_parameters(model), weights, "model.")
    return model


def recorded_actor(weights: Mapping[str, Tensor], sizes: Mapping[str, int], prefix: str = "actor.") -> Actor:
    """An actor with the recorded parameters."""
    actor = Actor(feature_size(sizes), sizes["hidden"], sizes["n_actions"])
    load(actor_parameters(actor), weights, prefix)
    return actor


def recorded_critic(weights: Mapping[str, Tensor], sizes: Mapping[str, int], prefix: str = "critic.") -> Critic:
    """A critic with the recorded parameters; those of the old critic with the prefix `old_critic.`."""
    critic = Critic(feature_size(sizes), sizes["hidden"], sizes["attention_heads"])
    load(critic_parameters(critic), weights, prefix)
    return critic


def load(parameters: Mapping[str, Tensor], weights: Mapping[str, Tensor], prefix: str) -> None:
    """Copy the recorded parameters named `prefix`* into ours; both must have the same names and shapes."""
    recorded = {
        name.removeprefix(prefix): value
        for name, value in weights.items()
        if name.startswith(prefix) and not name.endswith("pos_table")
    }
    assert recorded.keys() == parameters.keys()
    with torch.no_grad():
        for name, value in recorded.items():
            assert parameters[name].shape == value.shape, name
            parameters[name].copy_(value)


def attention_layers(prefix: str, layer: AttentionLayer) -> dict[str, nn.Module]:
    """The layers of one attention layer by their recorded names."""
    return {f"{prefix}.{recorded}": getattr(layer, ours) for recorded, ours in ATTENTION.items()}


def linear_layers(module: nn.Module) -> list[nn.Linear]:
    """The linear layers of `module` in order of application."""
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear)]


def numbered(prefix: str, layers: Iterable[nn.Module]) -> dict[str, nn.Module]:
    """`prefix.0`, `prefix.1`, ..."""
    return {f"{prefix}.{index}": layer for index, layer in enumerate(layers)}


def named_parameters(layers: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Weights and biases of the layers, `<layer>.weight` and `<layer>.bias`."""
    return {f"{prefix}.{name}": value for prefix, layer in layers.items() for name, value in layer.named_parameters()}


def feature_size(sizes: Mapping[str, int]) -> int:
    """Size of [z, h]."""
    return sizes["n_categoricals"] * sizes["n_classes"] + sizes["deter"]
