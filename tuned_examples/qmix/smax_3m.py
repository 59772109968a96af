"""QMIX on SMAX's 3m: three marines against three.

The fine-tuned values of Hu et al. (2021) for StarCraft, made for few env steps: an update for every battle on batches
of 32, and exploration that has nearly ended when MAMBA's budget has. Nothing was tuned for this scenario.

Expected: 0.53 of the training battles won at the end, mean of three seeds that differ much (`docs/benchmarks.md`).
Budget: 200,000 env steps, ten times MAMBA's; 9 to 15 minutes on one thread, evaluations included.

    rllib example run qmix/smax_3m
"""

from rllib_mamba import QMIXConfig

config = (
    QMIXConfig()
    .environment("smax_3m")
    .preset("finetuned")
    .training(
        batch_size=32,
        update_every=1,
        target_update_interval=100,
        epsilon=[[0, 1.0], [20_000, 0.05]],
    )
    .debugging(seed=0)
)

stop = {"num_env_steps_sampled_lifetime": 200_000}
