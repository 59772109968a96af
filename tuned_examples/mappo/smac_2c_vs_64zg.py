"""MAPPO on SMAC's 2c_vs_64zg, two colossi against sixty-four zerglings, as published.

Yu et al.'s (2022) values for StarCraft, and what the publication's program has for this map: 5 epochs.

Expected: not measured here. No published number for this map was at hand.
Budget: 10,000,000 env steps, the program's, in eight games at once; time not measured.

    rllib example run mappo/smac_2c_vs_64zg
"""

from rllib_mamba import MAPPOConfig

config = MAPPOConfig().environment("smac_2c_vs_64zg").preset("smac").training(num_epochs=5).debugging(seed=0)

stop = {"num_env_steps_sampled_lifetime": 10_000_000}
