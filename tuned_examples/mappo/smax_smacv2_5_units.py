"""MAPPO on SMAX's smacv2_5_units: five units of any type on each side, drawn for every battle.

Yu et al.'s (2022) values for StarCraft with batches of half the size, for more updates in few env steps. Nothing was
tuned for this scenario.

Expected: not measured here.
Budget: 1,000,000 env steps, ten times MAMBA's; time not measured.

    rllib example run mappo/smax_smacv2_5_units
"""

from rllib_mamba import MAPPOConfig

config = (
    MAPPOConfig()
    .environment("smax_smacv2_5_units")
    .preset("smac")
    .training(train_batch_size_per_learner=1_600)
    .debugging(seed=0)
)

stop = {"num_env_steps_sampled_lifetime": 1_000_000}
