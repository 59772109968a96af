"""MAPPO on SMAX's 8m: eight marines against eight.

Yu et al.'s (2022) values for StarCraft with batches of half the size, for more updates in few env steps. Nothing was
tuned for this scenario.

Expected: not measured here.
Budget: 500,000 env steps, ten times MAMBA's; time not measured.

    rllib example run mappo/smax_8m
"""

from rllib_mamba import MAPPOConfig

config = (
    MAPPOConfig().environment("smax_8m").preset("smac").training(train_batch_size_per_learner=1_600).debugging(seed=0)
)

stop = {"num_env_steps_sampled_lifetime": 500_000}
