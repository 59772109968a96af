import torch
from torch import nn

from rllib_mamba.world_model.attention import attention_in_transition, attention_weights
from rllib_mamba.world_model.communication import AgentAttention, index_code
from rllib_mamba.world_model.config import WorldModelConfig
from rllib_mamba.world_model.rssm import LatentState
from rllib_mamba.world_model.world_model import WorldModel

SIZE, HEADS = 16, 4


def test_weights_are_those_that_the_layers_attend_with():
    torch.manual_seed(0)
    module = AgentAttention(SIZE, 2, HEADS).eval()
    messages = torch.randn(3, 4, SIZE)
    hear = (torch.rand(3, 4, 4) > 0.4) | torch.eye(4, dtype=torch.bool)
    weights = attention_weights(module, messages, hear)
    assert weights.shape == (3, 2, HEADS, 4, 4)
    hidden = messages + index_code(4, SIZE)
    for number, layer in enumerate(module.layers):
        _, expected = nn.functional.multi_head_attention_forward(
            *(hidden.transpose(0, 1),) * 3,
            SIZE,
            HEADS,
            layer.query_key_value.weight,
            layer.query_key_value.bias,
            bias_k=None,
            bias_v=None,
            add_zero_attn=False,
            dropout_p=0.0,
            out_proj_weight=layer.output.weight,
            out_proj_bias=layer.output.bias,
            training=False,
            attn_mask=(~hear).repeat_interleave(HEADS, 0),
            average_attn_weights=False,
        )
        torch.testing.assert_close(weights[:, number], expected)
        hidden = layer(hidden, hear)


def test_without_communication_an_agent_listens_to_itself():
    module = AgentAttention(SIZE, 2, HEADS, communication=False).eval()
    weights = attention_weights(module, torch.randn(3, 4, SIZE))
    torch.testing.assert_close(weights, torch.eye(4).expand_as(weights))


def test_the_transition_attends_to_what_its_result_depends_on():
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "deterministic_size": 8, "num_categoricals": 4, "num_classes": 4}
    heads = {"communication_layers": 1, "communication_heads": 2}
    model = WorldModel(WorldModelConfig(observation_size=3, num_actions=2, **sizes, **heads)).eval()
    state, action = LatentState(torch.rand(1, 3, 16), torch.rand(1, 3, 8)), torch.rand(1, 3, 2)
    hear = torch.tensor([[[1, 1, 0], [0, 1, 0], [1, 0, 1]]], dtype=torch.bool)
    weights = attention_in_transition(model.rssm, state, action, hear)
    assert ((weights > 0) == hear[:, None, None]).all()
    action.requires_grad_()
    for listener in range(3):
        following = model.rssm.transition(state, action, hear)[0, listener].sum()
        [gradient] = torch.autograd.grad(following, action)
        assert (gradient[0].abs().sum(-1) > 0).tolist() == hear[0, listener].tolist()
