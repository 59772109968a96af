"""MAPPO on SMAX's 3m: three marines against three.

Yu et al.'s (2022) values for StarCraft with batches of half the size, which are still a hundred battles, for more
updates in few env steps. Nothing was tuned for this scenario.

Expected: 0.73 of the training battles won at the end, mean of three seeds (`docs/benchmarks.md`).
Budget: 200,000 env steps, ten times MAMBA's; 5 to 13 minutes on one thread, evaluations included.

    rllib example run mappo/smax_3m
"""

from rllib_mamba import MAPPOConfig

config = (
    MAPPOConfig().environment("smax_3m").preset("smac").training(train_batch_size_per_learner=1_600).debugging(seed=0)
)

stop = {"num_env_steps_sampled_lifetime": 200_000}
