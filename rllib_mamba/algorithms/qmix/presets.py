"""Named sets of QMIX options."""

from __future__ import annotations

from typing import Any

#: Exactly the values of the publication (Rashid et al., 2018) and its code.
PAPER: dict[str, Any] = {
    "hidden_size": 64,
    "last_action_input": True,
    "agent_id_input": True,
    "mixer": "qmix",
    "mixing_embedding_size": 32,
    "hypernetwork_hidden_size": 64,
    "normalize_state": False,
    "optimizer_type": "rmsprop",
    "lr": 5e-4,
    "grad_clip": 10.0,
    "gamma": 0.99,
    "td_lambda": 0.0,
    "double_q": True,
    "batch_size": 32,
    "target_update_interval": 200,
    "tau": 1.0,
    "epsilon": [[0, 1.0], [50_000, 0.05]],
    "update_every": 1,
    "update_every_unit": "episodes",
    "updates_per_cycle": 1,
    "min_steps_before_learning": 0,
    "replay_buffer_capacity_episodes": 5_000,
    "num_envs_per_env_runner": 1,
}

#: The values that Hu et al., 2021 (arXiv 2102.03479) found by tuning for StarCraft micromanagement, as in their code.
FINETUNED: dict[str, Any] = {
    "optimizer_type": "adam",
    "lr": 1e-3,
    "td_lambda": 0.6,
    "batch_size": 128,
    "epsilon": [[0, 1.0], [100_000, 0.05]],
    # Eight environments at once, and an update when each has finished an episode.
    "num_envs_per_env_runner": 8,
    "update_every": 8,
    "update_every_unit": "episodes",
    # 200 episodes, as in the defaults.
    "target_update_interval": 25,
    "replay_buffer_capacity_episodes": 5_000,
}

#: For tests and for trying an environment out: learns little, in seconds.
DEBUG: dict[str, Any] = {
    "hidden_size": 16,
    "mixing_embedding_size": 8,
    "hypernetwork_hidden_size": 16,
    "batch_size": 4,
    "epsilon": [[0, 1.0], [2_000, 0.05]],
    "target_update_interval": 10,
    "min_sample_timesteps_per_iteration": 100,
    "replay_buffer_capacity_episodes": 500,
}

PRESETS: dict[str, dict[str, Any]] = {"paper": PAPER, "finetuned": FINETUNED, "debug": DEBUG}
