"""MAPPO on SMAC's 2s3z, two stalkers and three zealots on each side, as published.

Yu et al.'s (2022) values for StarCraft, and what the publication's program has for other easy maps (it has no script
for this one): 15 epochs.

Expected: not measured here. MARIE (TMLR 2025, in a figure) reports 31.2 % of the battles won after 100,000 env steps.
Budget: 10,000,000 env steps, the program's, in eight games at once; time not measured.

    rllib example run mappo/smac_2s3z
"""

from rllib_mamba import MAPPOConfig

config = MAPPOConfig().environment("smac_2s3z").preset("smac").training(num_epochs=15).debugging(seed=0)

stop = {"num_env_steps_sampled_lifetime": 10_000_000}
