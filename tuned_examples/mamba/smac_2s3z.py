"""MAMBA on SMAC's 2s3z, two stalkers and three zealots on each side, as published.

The publication's settings for StarCraft (Egorov and Shpilman, 2022, and its program): 60 world-model and 4 agent
updates after each battle, and its mathematics number for number.

Expected: not measured here. MARIE (TMLR 2025, in a figure) reports 71.6 % of the battles won after 100,000 env steps
for the published program.
Budget: 100,000 env steps, made for a GPU (`--num-gpus-per-learner 1`); time not measured.

    rllib example run mamba/smac_2s3z
"""

from rllib_mamba import MAMBAConfig

config = MAMBAConfig().environment("smac_2s3z").preset("smac").preset("paper").debugging(seed=0)

stop = {"num_env_steps_sampled_lifetime": 100_000}
