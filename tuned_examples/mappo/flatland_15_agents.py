"""MAPPO on Flatland with fifteen trains.

The defaults, which are Yu et al.'s (2022) values for StarCraft; eight environments of 400 steps make a batch. Every
train learns from its own reward. Nothing was tuned for Flatland.

Expected: not measured here.
Budget: 10,000,000 env steps, ten times MAMBA's; time not measured.

    rllib example run mappo/flatland_15_agents
"""

from rllib_mamba import MAPPOConfig

config = (
    MAPPOConfig()
    .environment("flatland_15_agents")
    .env_runners(num_envs_per_env_runner=8)
    .training(shared_reward=False)
    .debugging(seed=0)
)

stop = {"num_env_steps_sampled_lifetime": 10_000_000}
