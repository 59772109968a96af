"""MAPPO on simple_spread: three agents cover three landmarks without running into each other.

MPE's game from PettingZoo (`mpe2`), 25 steps, with Yu et al.'s (2022) values for the particle environments.

Expected: not measured here. The publication shows curves up to 20,000,000 env steps.
Budget: 500,000 env steps, ten times MAMBA's; time not measured.

    rllib example run mappo/simple_spread
"""

from rllib_mamba import MAPPOConfig

config = MAPPOConfig().environment("pettingzoo:mpe2.simple_spread_v3").preset("mpe").debugging(seed=0)

stop = {"num_env_steps_sampled_lifetime": 500_000}
