"""MAPPO on Flatland with five trains, observations and rewards as in MAMBA's small example.

The environment is that of mamba/flatland_5_agents_small: the next two branches only, on scales near one, masks, ten
times the progress reward. Every train learns from its own reward. Other settings are the defaults.

Expected: not measured here.
Budget: 1,000,000 env steps, ten times MAMBA's; time not measured.

    rllib example run mappo/flatland_5_agents_small
"""

from rllib_mamba import MAPPOConfig

config = (
    MAPPOConfig()
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
    .env_runners(num_envs_per_env_runner=8)
    .training(shared_reward=False)
    .debugging(seed=1)
)

stop = {"num_env_steps_sampled_lifetime": 1_000_000}
