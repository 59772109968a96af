"""MAMBA on SMAC's corridor, six zealots against twenty-four zerglings, as published.

The publication's settings for StarCraft (Egorov and Shpilman, 2022, and its program): 60 world-model and 4 agent
updates after each battle, and its mathematics number for number.

Expected: not measured here. No published number for this map was at hand.
Budget: 400,000 env steps (chosen here), made for a GPU (`--num-gpus-per-learner 1`); time not measured.

    rllib example run mamba/smac_corridor
"""

from rllib_mamba import MAMBAConfig

config = MAMBAConfig().environment("smac_corridor").preset("smac").preset("paper").debugging(seed=0)

stop = {"num_env_steps_sampled_lifetime": 400_000}
