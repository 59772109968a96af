"""MAMBA on Flatland with five trains, with the published settings.

The publication's settings for Flatland (Egorov and Shpilman, 2022, and its program): hidden 400, h of 600 numbers, 40
world-model and 4 agent updates after each episode, and its mathematics number for number.

Expected: not measured here. The publication shows curves up to 300,000 env steps and gives no table.
Budget: 300,000 env steps (the publication's), made for a GPU (`--num-gpus-per-learner 1`); time not measured.

    rllib example run mamba/flatland_5_agents
"""

from rllib_mamba import MAMBAConfig

config = MAMBAConfig().environment("flatland_5_agents").preset("flatland").preset("paper").debugging(seed=0)

stop = {"num_env_steps_sampled_lifetime": 300_000}
