"""Named sets of MAMBA options: the published mathematics, and sizes for common uses."""

from __future__ import annotations

from typing import Any

#: Options that make the mathematics exactly that of the publication (Egorov and Shpilman, 2022) and its code.
PAPER: dict[str, Any] = {
    "world_model_lr": 2e-4,
    "actor_lr": 5e-4,
    "critic_lr": 5e-4,
    "actor_weight_decay": 1e-5,
    "world_model_grad_clip_by_global_norm": 100.0,
    "actor_grad_clip_by_global_norm": 100.0,
    "critic_grad_clip_by_global_norm": 100.0,
    "gamma": 0.99,
    "gae_lambda": 0.95,
    "entropy_coeff": 1e-3,
    "entropy_decay": 0.99998,
    "clip_param": 0.2,
    "num_epochs": 5,
    "minibatch_size": 2000,
    "kl_balance": 0.2,
    "loss_scales": {},
    "normalize_reward_loss": False,
    "weigh_by_continuation": False,
    "absorbing_steps": 2,
    "communication": True,
    "communication_layers": 3,
    "communication_heads": 8,
    "communication_dropout": 0.1,
    "mask_dead_agents": False,
    "mask_communication": False,
    "reset_previous_action": False,
    "truncation_is_terminal": True,
    "shared_reward": True,
    "team_reward": "mean",
    "update_every": "episode",
    "agent_reset_steps": (),
    "mixed_precision": False,
}

#: Sizes. At most one of them is in force; `paper` may be combined with any.
SIZES: dict[str, dict[str, Any]] = {
    # For tests and for trying an environment out: learns little, in seconds.
    "debug": {
        "hidden_size": 32,
        "deterministic_size": 32,
        "num_categoricals": 4,
        "num_classes": 4,
        "communication_layers": 1,
        "communication_heads": 4,
        "sequence_length": 8,
        "batch_size": 4,
        "horizon": 4,
        "minibatch_size": 256,
        "num_epochs": 2,
        "world_model_updates": 1,
        "agent_updates": 1,
        "update_every": 100,
        "min_sample_timesteps_per_iteration": 100,
        "min_steps_before_learning": 100,
        "replay_buffer_capacity": 10_000,
    },
    # A laptop's processor.
    "small": {
        "hidden_size": 128,
        "deterministic_size": 128,
        "num_categoricals": 16,
        "num_classes": 16,
        "communication_layers": 2,
        "communication_heads": 4,
        "sequence_length": 20,
        "batch_size": 16,
        "horizon": 11,
        "minibatch_size": 1000,
        "num_epochs": 2,
        # Few updates have to do: larger steps than in the publication.
        "world_model_lr": 1e-3,
        "critic_lr": 8e-4,
        "entropy_coeff": 0.02,
        "world_model_updates": 12,
        "agent_updates": 1,
        "update_every": 125,
        "min_steps_before_learning": 2_000,
        "replay_buffer_capacity": 100_000,
    },
    # The publication's values for StarCraft micromanagement.
    "smac": {
        "hidden_size": 256,
        "deterministic_size": 256,
        "num_categoricals": 32,
        "num_classes": 32,
        "sequence_length": 20,
        "batch_size": 40,
        "horizon": 15,
        "world_model_updates": 60,
        "agent_updates": 4,
        "min_steps_before_learning": 500,
        "replay_buffer_capacity": 250_000,
        "normalize_advantages": True,
        "use_target_critic": False,
        "predict_action_mask": True,
    },
    # The publication's values for Flatland.
    "flatland": {
        "hidden_size": 400,
        "deterministic_size": 600,
        "num_categoricals": 32,
        "num_classes": 32,
        "sequence_length": 50,
        "batch_size": 40,
        "horizon": 15,
        "world_model_updates": 40,
        "agent_updates": 4,
        "min_steps_before_learning": 2_500,
        "replay_buffer_capacity": 500_000,
        "normalize_advantages": False,
        "use_target_critic": True,
        "predict_action_mask": False,
    },
}

PRESETS: dict[str, dict[str, Any]] = {"paper": PAPER, **SIZES}
