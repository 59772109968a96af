"""MAPPO on level-based foraging: two players on an 8 x 8 grid lift food together.

The map Foraging-8x8-2p-2f-coop-v3, 50 steps, with Yu et al.'s (2022) values for StarCraft. Nothing was tuned.

Expected: not measured here; 1 is the most food (`collected`) there is.
Budget: 500,000 env steps, ten times MAMBA's; time not measured.

    rllib example run mappo/level_based_foraging
"""

from rllib_mamba import MAPPOConfig

config = MAPPOConfig().environment("level_based_foraging").preset("smac").debugging(seed=0)

stop = {"num_env_steps_sampled_lifetime": 500_000}
