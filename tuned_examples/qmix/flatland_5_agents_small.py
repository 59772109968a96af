"""QMIX on Flatland with five trains, observations and rewards as in MAMBA's small example.

The environment is that of mamba/flatland_5_agents_small: the next two branches only, on scales near one, masks, ten
times the progress reward. Episodes are hundreds of steps long: batches of 16 of them, an update for every one. Less
is explored at random than for StarCraft, because a single random stop costs a train its way. QMIX learns the mean of
the rewards.

Expected: not measured here.
Budget: 1,000,000 env steps, ten times MAMBA's; time not measured.

    rllib example run qmix/flatland_5_agents_small
"""

from rllib_mamba import QMIXConfig

config = (
    QMIXConfig()
    .environment(
        "flatland_5_agents",
        env_config={
            "tree_depth": 1,
            "scaled_features": True,
            "action_masks": True,
            "rewards": {"finish": 10.0, "progress": 0.1, "deadlock": -5.0},
            "unreachable_distance": 100.0,
        },
    )
    .preset("finetuned")
    .training(
        batch_size=16,
        update_every=1,
        target_update_interval=100,
        epsilon=[[0, 1.0], [50_000, 0.02]],
        replay_buffer_capacity_env_steps=300_000,
    )
    .debugging(seed=1)
)

stop = {"num_env_steps_sampled_lifetime": 1_000_000}
