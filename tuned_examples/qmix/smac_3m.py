"""QMIX on SMAC's 3m, three marines against three, fine-tuned.

The values of Hu et al. (2021, arXiv 2102.03479), from their program.

Expected: not measured here. MARIE (TMLR 2025, in a figure) reports 54.4 % of the battles won after 100,000 env steps,
with other settings.
Budget: 10,050,000 env steps, the program's, in eight games at once; time not measured.

    rllib example run qmix/smac_3m
"""

from rllib_mamba import QMIXConfig

config = QMIXConfig().environment("smac_3m").preset("finetuned").debugging(seed=0)

stop = {"num_env_steps_sampled_lifetime": 10_050_000}
