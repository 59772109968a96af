"""QMIX on level-based foraging: two players on an 8 x 8 grid lift food together.

The map Foraging-8x8-2p-2f-coop-v3, 50 steps. The fine-tuned values of Hu et al. (2021) for StarCraft with batches of
32 and an update for every episode. Nothing was tuned.

Expected: not measured here; 1 is the most food (`collected`) there is.
Budget: 500,000 env steps, ten times MAMBA's; time not measured.

    rllib example run qmix/level_based_foraging
"""

from rllib_mamba import QMIXConfig

config = (
    QMIXConfig()
    .environment("level_based_foraging")
    .preset("finetuned")
    .training(batch_size=32, update_every=1, target_update_interval=100)
    .debugging(seed=0)
)

stop = {"num_env_steps_sampled_lifetime": 500_000}
