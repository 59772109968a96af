"""The range of every option of QMIX."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rllib_mamba.algorithms.ranges import POSITIVE, Interval, Ranges, require

if TYPE_CHECKING:
    from rllib_mamba.algorithms.qmix.config import QMIXConfig

RANGES = Ranges(
    least_integers={
        "hidden_size": 1,
        "mixing_embedding_size": 1,
        "batch_size": 1,
        "target_update_interval": 1,
        "update_every": 1,
        "updates_per_cycle": 0,
        "min_steps_before_learning": 0,
        "max_weights_staleness": 1,
        "replay_buffer_capacity_episodes": 1,
    },
    intervals={
        "gamma": Interval(0.0, 1.0, low_open=True),
        "td_lambda": Interval(0.0, 1.0),
        "tau": Interval(0.0, 1.0, low_open=True),
    },
    schedules={"lr": POSITIVE, "epsilon": Interval(0.0, 1.0)},
    clips=("grad_clip",),
    flags=(
        "last_action_input",
        "agent_id_input",
        "normalize_state",
        "double_q",
        "overlap_acting",
        "store_buffer_in_checkpoints",
    ),
    choices={
        "mixer": ("qmix", "vdn", None),
        "optimizer_type": ("rmsprop", "adam"),
        "grad_clip_by": ("global_norm",),
        "update_every_unit": ("episodes", "env_steps"),
        "replay_observation_dtype": ("float32", "float16"),
        "team_reward": ("mean", "sum"),
    },
)

_INTEGERS_OR_NONE = ("hypernetwork_hidden_size", "replay_buffer_capacity_env_steps")


def check_ranges(config: QMIXConfig) -> None:
    """Checks every option by itself.

    Raises:
        ValueError: An option is out of range; the message names it, its value and what was expected.
    """
    RANGES.check(config)
    for name in _INTEGERS_OR_NONE:
        value = getattr(config, name)
        valid = value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 1)
        require(valid, name, value, "an integer of at least 1, or None")
