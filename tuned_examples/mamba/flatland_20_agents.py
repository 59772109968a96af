"""MAMBA on Flatland with twenty trains, with the published settings.

The publication's settings for Flatland (Egorov and Shpilman, 2022, and its program): hidden 400, h of 600 numbers, 40
world-model and 4 agent updates after each episode, and its mathematics number for number.

Expected: not measured here. In the publication this is the setting of "15_agents", which has twenty trains in the
program; it shows curves and gives no table.
Budget: 1,000,000 env steps (chosen here), made for a GPU (`--num-gpus-per-learner 1`); time not measured.

    rllib example run mamba/flatland_20_agents
"""

from rllib_mamba import MAMBAConfig

config = MAMBAConfig().environment("flatland_20_agents").preset("flatland").preset("paper").debugging(seed=0)

stop = {"num_env_steps_sampled_lifetime": 1_000_000}
