"""QMIX on SMAX's 2s3z: two stalkers and three zealots on each side.

The fine-tuned values of Hu et al. (2021) for StarCraft, made for few env steps: an update for every battle on batches
of 32, and exploration that has nearly ended when MAMBA's budget has. Nothing was tuned for this scenario.

Expected: not measured here.
Budget: 500,000 env steps, ten times MAMBA's; time not measured.

    rllib example run qmix/smax_2s3z
"""

from rllib_mamba import QMIXConfig

config = (
    QMIXConfig()
    .environment("smax_2s3z")
    .preset("finetuned")
    .training(
        batch_size=32,
        update_every=1,
        target_update_interval=100,
        epsilon=[[0, 1.0], [50_000, 0.05]],
    )
    .debugging(seed=0)
)

stop = {"num_env_steps_sampled_lifetime": 500_000}
