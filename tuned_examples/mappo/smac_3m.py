"""MAPPO on SMAC's 3m, three marines against three, as published.

Yu et al.'s (2022) values for StarCraft, and what the publication's program has for this map: 15 epochs.

Expected: not measured here. MARIE (TMLR 2025, in a figure) reports 80.5 % of the battles won after 100,000 env steps.
Budget: 10,000,000 env steps, the program's, in eight games at once; time not measured.

    rllib example run mappo/smac_3m
"""

from rllib_mamba import MAPPOConfig

config = MAPPOConfig().environment("smac_3m").preset("smac").training(num_epochs=15).debugging(seed=0)

stop = {"num_env_steps_sampled_lifetime": 10_000_000}
