"""Named sets of MAPPO options; the defaults are what the publication recommends."""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    # For tests and for trying an environment out: learns little, in seconds.
    "debug": {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "train_batch_size_per_learner": 100,
        "num_envs_per_env_runner": 4,
        "num_epochs": 2,
    },
    # The publication's values for StarCraft micromanagement (table 10 and following): 8 environments of 400 steps. The
    # hardest maps take 5 epochs and a clip of 0.05 to 0.2, the easy ones 15 epochs.
    "smac": {
        "train_batch_size_per_learner": 3_200,
        "num_envs_per_env_runner": 8,
        "num_epochs": 10,
        "actor_lr": 5e-4,
        "critic_lr": 5e-4,
        "entropy_coeff": 0.01,
        "share_policy": True,
    },
    # The publication's values for the particle environments: 128 environments of 25 steps.
    "mpe": {
        "train_batch_size_per_learner": 3_200,
        "num_envs_per_env_runner": 32,
        "num_epochs": 10,
        "actor_lr": 7e-4,
        "critic_lr": 7e-4,
        "entropy_coeff": 0.01,
    },
}
