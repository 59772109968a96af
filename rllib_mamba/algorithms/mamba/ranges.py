"""The range of every option of MAMBA."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rllib_mamba.algorithms.ranges import NOT_NEGATIVE, POSITIVE, Interval, Ranges, require
from rllib_mamba.world_model import LOSSES

if TYPE_CHECKING:
    from rllib_mamba.algorithms.mamba.config import MAMBAConfig

RANGES = Ranges(
    least_integers={
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
        "max_weights_staleness": 1,
        "agent_updates_after_reset": 0,
        "replay_buffer_capacity": 1,
    },
    intervals={
        "communication_dropout": Interval(0.0, 1.0, high_open=True),
        "kl_balance": Interval(0.0, 1.0),
        "actor_weight_decay": NOT_NEGATIVE,
        "gamma": Interval(0.0, 1.0, low_open=True),
        "gae_lambda": Interval(0.0, 1.0),
        "entropy_decay": Interval(0.0, 1.0, low_open=True),
        "clip_param": POSITIVE,
    },
    schedules={
        "world_model_lr": POSITIVE,
        "actor_lr": POSITIVE,
        "critic_lr": POSITIVE,
        "entropy_coeff": NOT_NEGATIVE,
    },
    clips=(
        "world_model_grad_clip_by_global_norm",
        "actor_grad_clip_by_global_norm",
        "critic_grad_clip_by_global_norm",
    ),
    flags=(
        "communication",
        "mask_dead_agents",
        "mask_communication",
        "reset_previous_action",
        "truncation_is_terminal",
        "shared_reward",
        "normalize_reward_loss",
        "normalize_observations",
        "normalize_advantages",
        "weigh_by_continuation",
        "use_target_critic",
        "mixed_precision",
        "overlap_acting",
        "store_buffer_in_checkpoints",
    ),
    choices={
        "predict_action_mask": (None, True, False),
        "replay_observation_dtype": ("float32", "float16"),
        "team_reward": ("mean", "sum"),
    },
)


def check_ranges(config: MAMBAConfig) -> None:
    """Checks every option by itself.

    Raises:
        ValueError: An option is out of range; the message names it, its value and what was expected.
    """
    RANGES.check(config)
    for loss, scale in config.loss_scales.items():
        require(loss in LOSSES, "loss_scales", {loss: scale}, f"names among {', '.join(LOSSES)}")
        require(scale in NOT_NEGATIVE, "loss_scales", {loss: scale}, "finite numbers of at least 0")
    resets = config.agent_reset_steps
    require(
        isinstance(resets, list | tuple)
        and all(isinstance(step, int) and step >= 1 for step in resets)
        and list(resets) == sorted(set(resets)),
        "agent_reset_steps",
        resets,
        "env steps of at least 1, each above the one before, such as [2000, 4000, 8000]",
    )
    every = config.update_every
    require(
        every == "episode" or (isinstance(every, int) and every >= 1),
        "update_every",
        every,
        "a number of env steps of at least 1, or 'episode'",
    )
