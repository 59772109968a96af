"""The range of every option of MAPPO."""

from __future__ import annotations

from rllib_mamba.algorithms.ranges import NOT_NEGATIVE, POSITIVE, Interval, Ranges

RANGES = Ranges(
    least_integers={
        "hidden_size": 1,
        "num_hidden_layers": 1,
        "max_seq_len": 1,
        "num_epochs": 1,
        "num_minibatches": 1,
        "train_batch_size_per_learner": 1,
    },
    intervals={
        "gamma": Interval(0.0, 1.0, low_open=True),
        "gae_lambda": Interval(0.0, 1.0),
        "clip_param": POSITIVE,
    },
    schedules={"actor_lr": POSITIVE, "critic_lr": POSITIVE, "entropy_coeff": NOT_NEGATIVE},
    clips=(
        "value_clip_param",
        "huber_delta",
        "actor_grad_clip_by_global_norm",
        "critic_grad_clip_by_global_norm",
    ),
    flags=(
        "normalize_inputs",
        "recurrent",
        "share_policy",
        "agent_id_input",
        "use_centralized_critic",
        "agent_specific_critic",
        "shared_reward",
        "death_masking",
        "normalize_advantages",
    ),
    choices={"value_normalization": ("running", "popart", None), "team_reward": ("mean", "sum")},
)
