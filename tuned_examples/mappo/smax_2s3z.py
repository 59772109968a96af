"""MAPPO on SMAX's 2s3z: two stalkers and three zealots on each side.

Yu et al.'s (2022) values for StarCraft with batches of half the size, for more updates in few env steps. Nothing was
tuned for this scenario.

Expected: not measured here.
Budget: 500,000 env steps, ten times MAMBA's; time not measured.

    rllib example run mappo/smax_2s3z
"""

from rllib_mamba import MAPPOConfig

config = (
    MAPPOConfig().environment("smax_2s3z").preset("smac").training(train_batch_size_per_learner=1_600).debugging(seed=0)
)

stop = {"num_env_steps_sampled_lifetime": 500_000}
