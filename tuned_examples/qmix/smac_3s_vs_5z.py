"""QMIX on SMAC's 3s_vs_5z, three stalkers against five zealots, fine-tuned.

The values of Hu et al. (2021, arXiv 2102.03479), from their program.

Expected: not measured here. Hu et al.'s program reports 100 % of the battles won.
Budget: 10,050,000 env steps, the program's, in eight games at once; time not measured.

    rllib example run qmix/smac_3s_vs_5z
"""

from rllib_mamba import QMIXConfig

config = QMIXConfig().environment("smac_3s_vs_5z").preset("finetuned").debugging(seed=0)

stop = {"num_env_steps_sampled_lifetime": 10_050_000}
