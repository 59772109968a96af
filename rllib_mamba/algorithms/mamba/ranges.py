"""The range of every option of MAMBA."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from rllib_mamba.world_model import LOSSES

if TYPE_CHECKING:
    from rllib_mamba.algorithms.mamba.config import MAMBAConfig

_LEAST_INTEGERS = {
    "hidden_size": 1,
    "deterministic_size": 1,
    "num_categoricals": 1,
    "num_classes": 2,
    "communication_layers": 1,
    "communication_heads": 1,
    "sequence_length": 4,
    "batch_size": 1,
    "absorbing_steps": 0,
    "horizon": 2,
    "num_epochs": 1,
    "minibatch_size": 1,
    "target_update_interval": 1,
    "world_model_updates": 0,
    "agent_updates": 0,
    "min_steps_before_learning": 0,
    "replay_buffer_capacity": 1,
}
#: name -> (low, high, low is excluded, high is excluded)
_INTERVALS = {
    "communication_dropout": (0.0, 1.0, False, True),
    "kl_balance": (0.0, 1.0, False, False),
    "actor_weight_decay": (0.0, math.inf, False, True),
    "gamma": (0.0, 1.0, True, False),
    "gae_lambda": (0.0, 1.0, False, False),
    "entropy_decay": (0.0, 1.0, True, False),
    "clip_param": (0.0, math.inf, True, True),
}
_SCHEDULES = ("world_model_lr", "actor_lr", "critic_lr", "entropy_coeff")
_CLIPS = (
    "world_model_grad_clip_by_global_norm",
    "actor_grad_clip_by_global_norm",
    "critic_grad_clip_by_global_norm",
)
_FLAGS = (
    "communication",
    "mask_dead_agents",
    "mask_communication",
    "reset_previous_action",
    "truncation_is_terminal",
    "shared_reward",
    "normalize_advantages",
    "use_target_critic",
    "store_buffer_in_checkpoints",
)
_CHOICES: dict[str, tuple[Any, ...]] = {
    "predict_action_mask": (None, True, False),
    "replay_observation_dtype": ("float32", "float16"),
    "team_reward": ("mean", "sum"),
}


def check_ranges(config: MAMBAConfig) -> None:
    """Checks every option by itconfig.

    Raises:
        ValueError: An option is out of range; the message names it, its value and what was expected.
    """
    for name, least in _LEAST_INTEGERS.items():
        value = getattr(config, name)
        _require(
            isinstance(value, int) and not isinstance(value, bool) and value >= least,
            name,
            value,
            f"an integer of at least {least}",
        )
    for name, (low, high, low_open, high_open) in _INTERVALS.items():
        value = getattr(config, name)
        inside = (
            isinstance(value, int | float)
            and math.isfinite(value)
            and (value > low if low_open else value >= low)
            and (value < high if high_open else value <= high)
        )
        interval = f"{'(' if low_open else '['}{low:g}, {high:g}{')' if high_open else ']'}"
        _require(inside, name, value, f"a number in {interval}")
    for name in _SCHEDULES:
        value = getattr(config, name)
        _require(_is_schedule(value, name), name, value, "a positive number or a schedule [[env step, value], ...]")
    for name in _CLIPS:
        value = getattr(config, name)
        _require(value is None or (isinstance(value, int | float) and value > 0), name, value, "above 0, or None")
    for name in _FLAGS:
        value = getattr(config, name)
        _require(isinstance(value, bool), name, value, "True or False")
    for name, choices in _CHOICES.items():
        value = getattr(config, name)
        _require(value in choices, name, value, f"one of {', '.join(map(repr, choices))}")
    for loss, scale in config.loss_scales.items():
        _require(loss in LOSSES, "loss_scales", {loss: scale}, f"names among {', '.join(LOSSES)}")
        valid = isinstance(scale, int | float) and 0 <= scale < math.inf
        _require(valid, "loss_scales", {loss: scale}, "finite numbers of at least 0")
    every = config.update_every
    _require(
        every == "episode" or (isinstance(every, int) and every >= 1),
        "update_every",
        every,
        "a number of env steps of at least 1, or 'episode'",
    )


def _require(condition: bool, name: str, value: Any, expected: str) -> None:
    if not condition:
        raise ValueError(f"{name}={value!r} is out of range: expected {expected}.")


def _is_schedule(value: Any, name: str) -> bool:
    least_open = name != "entropy_coeff"

    def valid(number: Any) -> bool:
        return (
            isinstance(number, int | float)
            and not isinstance(number, bool)
            and math.isfinite(number)
            and (number > 0 if least_open else number >= 0)
        )

    if isinstance(value, list | tuple):
        return len(value) > 0 and all(len(point) == 2 and valid(point[1]) for point in value) and value[0][0] == 0
    return valid(value)
