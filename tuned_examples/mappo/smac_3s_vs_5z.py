"""MAPPO on SMAC's 3s_vs_5z, three stalkers against five zealots, as published.

Yu et al.'s (2022) values for StarCraft, and what the publication's program has for this map: 15 epochs and a clip of
0.05; where it stacks four frames for networks without memory, these have a GRU.

Expected: not measured here. No published number for this map was at hand.
Budget: 10,000,000 env steps, the program's, in eight games at once; time not measured.

    rllib example run mappo/smac_3s_vs_5z
"""

from rllib_mamba import MAPPOConfig

config = (
    MAPPOConfig().environment("smac_3s_vs_5z").preset("smac").training(num_epochs=15, clip_param=0.05).debugging(seed=0)
)

stop = {"num_env_steps_sampled_lifetime": 10_000_000}
