"""MAPPO on SMAC's corridor, six zealots against twenty-four zerglings, as published.

Yu et al.'s (2022) values for StarCraft, and what the publication's program has for this map: 5 epochs and networks
without memory.

Expected: not measured here. No published number for this map was at hand.
Budget: 10,000,000 env steps, the program's, in eight games at once; time not measured.

    rllib example run mappo/smac_corridor
"""

from rllib_mamba import MAPPOConfig

config = (
    MAPPOConfig().environment("smac_corridor").preset("smac").training(num_epochs=5, recurrent=False).debugging(seed=0)
)

stop = {"num_env_steps_sampled_lifetime": 10_000_000}
