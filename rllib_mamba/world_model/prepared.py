"""The world model's layers for acting: weights laid out once for the processor, few operations, no gradients.

Acting is many small steps with the same weights. What is computed is what the layers of `WorldModel` compute in
evaluation mode, up to rounding; in bfloat16 the matrix products are, and everything between them is in float32.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from rllib_mamba.world_model.communication import AgentAttention, AttentionLayer, index_code
from rllib_mamba.world_model.linear import Linear, has_bfloat16_instructions, has_onednn
from rllib_mamba.world_model.observation_normalizer import ObservationNormalizer
from rllib_mamba.world_model.recurrence import GRUCell
from rllib_mamba.world_model.world_model import WorldModel

# Outputs of a layer below which a call of oneDNN takes longer than the product.
FEWEST_OUTPUTS = 32
# Agents in a team above which torch's single operations take less time than its fused attention.
FEWEST_AGENTS_IN_PRODUCTS = 16


class PreparedLinear:
    """A linear layer of weight (O, I) and bias (O) in float32; where oneDNN is used, with the weight in its own layout.

    With `mixed_precision` inputs and weights are rounded to bfloat16, where the processor multiplies such numbers.
    """

    def __init__(self, weight: Tensor, bias: Tensor, mixed_precision: bool = False) -> None:
        on_cpu, is_wide = weight.device.type == "cpu", len(weight) >= FEWEST_OUTPUTS
        rounded = mixed_precision and is_wide and (has_bfloat16_instructions() or not on_cpu)
        self._dtype = torch.bfloat16 if rounded else weight.dtype
        self._weight, self._bias = weight.detach().to(self._dtype), bias.detach().to(self._dtype)
        self._packed: Tensor | None = None
        if on_cpu and is_wide and weight.dtype is torch.float32 and has_onednn():
            self._packed = torch.ops.mkldnn._reorder_linear_weight(self._weight.contiguous())

    @classmethod
    def of(cls, layer: nn.Module, mixed_precision: bool = False) -> "PreparedLinear":
        """With the weights of a `Linear`."""
        assert isinstance(layer, Linear)
        return cls(layer.weight, layer.bias, mixed_precision)

    def __call__(self, rows: Tensor, relu: bool = False) -> Tensor:
        """(R, I) to (R, O), then ReLU if `relu`."""
        inputs = rows.to(self._dtype)
        if self._packed is None:
            outputs = F.linear(inputs, self._weight, self._bias).to(rows.dtype)
            return outputs.relu_() if relu else outputs
        activation = "relu" if relu else "none"
        result: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, self._packed, self._bias, activation, [], "")
        return result.to(rows.dtype)

    def plus(self, rows: Tensor, other: Tensor) -> Tensor:
        """The outputs (R, O) for inputs (R, I), and `other` (R, O) added."""
        if self._packed is None or self._dtype is not rows.dtype:
            return self(rows).add_(other)
        result: Tensor = torch.ops.mkldnn._linear_pointwise.binary(rows, other, self._packed, self._bias, "add")
        return result


class PreparedOneHots:
    """A weight (O, I) times one-hots side by side, I numbers in all, given as class indices: a sum of picked rows."""

    def __init__(self, weight: Tensor, sizes: Sequence[int]) -> None:
        parts = weight.detach().t().split(list(sizes))
        nothing = torch.zeros_like(parts[0][:1])
        self._table = torch.cat([rows for part in parts for rows in (nothing, part)])
        ends = torch.tensor([0, *sizes], device=weight.device).cumsum(0)
        self._first = ends[:-1] + torch.arange(1, len(sizes) + 1, device=weight.device)

    def __call__(self, index: Tensor) -> Tensor:
        """(R, O) of class indices (R, C) int64; of -1, which stands for zeros, nothing."""
        return F.embedding_bag(index + self._first, self._table, mode="sum")


class PreparedAttention:
    """`AgentAttention`."""

    def __init__(self, attention: AgentAttention, mixed_precision: bool = False) -> None:
        self._communication = attention.communication
        self._size = attention.size
        self._layers = [_PreparedAttentionLayer(layer, mixed_precision) for layer in attention.layers]
        self._code = torch.empty(0)

    def __call__(self, messages: Tensor, hear: Tensor | None) -> Tensor:
        """(B, N, size) to (B * N, size); `hear` as there."""
        batch, num_agents, size = messages.shape
        if len(self._code) != num_agents:
            self._code = index_code(num_agents, size).to(messages)
        hidden = (messages + self._code).view(-1, size)
        if not self._communication:
            batch, num_agents, hear = batch * num_agents, 1, None
        # Added to the scores.
        silence = None
        if hear is not None:
            silence = messages.new_zeros(hear.shape).masked_fill_(~hear, float("-inf")).unsqueeze(1)
        for layer in self._layers:
            hidden = layer(hidden, (batch, num_agents), silence)
        return hidden


class _PreparedAttentionLayer:
    def __init__(self, layer: nn.Module, mixed_precision: bool) -> None:
        assert isinstance(layer, AttentionLayer)
        self._num_heads = layer.num_heads
        self._query_key_value = PreparedLinear.of(layer.query_key_value, mixed_precision)
        self._output = PreparedLinear.of(layer.output, mixed_precision)
        self._feed_forward_in = PreparedLinear.of(layer.feed_forward_in, mixed_precision)
        self._feed_forward_out = PreparedLinear.of(layer.feed_forward_out, mixed_precision)
        self._norm_attention = layer.norm_attention
        self._norm_feed_forward = layer.norm_feed_forward

    def __call__(self, rows: Tensor, shape: tuple[int, int], silence: Tensor | None) -> Tensor:
        parts = self._query_key_value(rows).view(*shape, 3, self._num_heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        attended = _attend(query, key, value, silence).transpose(1, 2).reshape(rows.shape)
        hidden = self._norm_attention(self._output.plus(attended, rows))
        expanded = self._feed_forward_in(hidden, relu=True)
        result: Tensor = self._norm_feed_forward(self._feed_forward_out.plus(expanded, hidden))
        return result


def _attend(query: Tensor, key: Tensor, value: Tensor, silence: Tensor | None) -> Tensor:
    if query.shape[-2] < FEWEST_AGENTS_IN_PRODUCTS:
        return F.scaled_dot_product_attention(query, key, value, silence)
    scores = (query @ key.transpose(-1, -2)).mul_(query.shape[-1] ** -0.5)
    if silence is not None:
        scores += silence
    return torch.softmax(scores, -1) @ value


class PreparedGRUCell:
    """`GRUCell`."""

    def __init__(self, cell: GRUCell, mixed_precision: bool = False) -> None:
        self._size = cell.hidden_size
        # Twice the candidate's: tanh x = 2 sigmoid 2x - 1, and torch's sigmoid takes a tenth of the time of its tanh.
        scale = torch.ones_like(cell.bias_ih)
        scale[2 * self._size :] = 2
        self._from_inputs = PreparedLinear(cell.weight_ih * scale.unsqueeze(-1), cell.bias_ih * scale, mixed_precision)
        self._from_state = PreparedLinear(cell.weight_hh * scale.unsqueeze(-1), cell.bias_hh * scale, mixed_precision)

    def __call__(self, inputs: Tensor, state: Tensor) -> Tensor:
        """The next state (R, D) after inputs (R, I)."""
        gates = [2 * self._size, self._size]
        inputs_to_gates, inputs_to_candidate = self._from_inputs(inputs).split(gates, -1)
        state_to_gates, state_to_candidate = self._from_state(state).split(gates, -1)
        reset, update = (inputs_to_gates + state_to_gates).sigmoid_().chunk(2, -1)
        candidate = torch.addcmul(inputs_to_candidate, reset, state_to_candidate).sigmoid_().mul_(2).sub_(1)
        return torch.lerp(candidate, state, update)


class PreparedPosterior:
    """What a `WorldModel` makes of an observation; `mixed_precision` as for `PreparedLinear`."""

    def __init__(self, world_model: WorldModel, mixed_precision: bool = False) -> None:
        config, rssm = world_model.config, world_model.rssm
        one_hots = [config.num_actions, *[config.num_classes] * config.num_categoricals]
        self._message = PreparedOneHots(rssm.message.weight, one_hots)
        self._message_bias = rssm.message.bias
        self._communication = PreparedAttention(rssm.communication, mixed_precision)
        self._recurrence = PreparedGRUCell(rssm.recurrence, mixed_precision)
        layers = [layer for layer in world_model.encoder.layers if isinstance(layer, Linear)]
        first = _with_normalizer(layers[0], world_model.normalizer)
        self._encoder = [PreparedLinear(*first)]
        self._encoder += [PreparedLinear.of(layer, mixed_precision) for layer in layers[1:-1]]
        self._hidden = PreparedLinear(*_with_last_layer(rssm.posterior_hidden, layers[-1]), mixed_precision)
        self._output = PreparedLinear.of(rssm.posterior_output, mixed_precision)

    def __call__(
        self, latent: Tensor, deterministic: Tensor, previous_action: Tensor, observation: Tensor, hear: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """One step of B teams.

        Args:
            latent: (B, N, C) int64, class indices of z before, -1 before an episode's first step.
            deterministic: (B, N, D), h before.
            previous_action: (B, N) int64, -1 before the first step.
            observation: (B, N, O).
            hear: (B, N, N) bool, as in `WorldModel.observe_step`.

        Returns:
            h (B * N, D) and the posterior's logits (B * N, S).
        """
        index = torch.cat([previous_action.unsqueeze(-1), latent], -1)
        message = self._message(index.flatten(0, 1)).add_(self._message_bias).relu_()
        attended = self._communication(message.view(*index.shape[:2], -1), hear)
        following = self._recurrence(attended, deterministic.flatten(0, 1))
        hidden = observation.flatten(0, 1)
        for layer in self._encoder:
            hidden = layer(hidden, relu=True)
        hidden = self._hidden(torch.cat([following, hidden], -1), relu=True)
        return following, self._output(hidden)


def _with_normalizer(layer: Linear, normalizer: ObservationNormalizer | None) -> tuple[Tensor, Tensor]:
    """Weight and bias of `layer` reading observations as they are in place of what `normalizer` makes of them."""
    if normalizer is None:
        return layer.weight, layer.bias
    weight = layer.weight / normalizer.deviation
    return weight, layer.bias - weight @ normalizer.mean


def _with_last_layer(layer: Linear, last: Linear) -> tuple[Tensor, Tensor]:
    """Weight and bias of `layer` reading what `last` reads in place of what it gives, at the end of its inputs: one
    layer for two."""
    before, after = layer.weight.split([layer.in_features - last.out_features, last.out_features], 1)
    return torch.cat([before, after @ last.weight], 1), layer.bias + after @ last.bias
