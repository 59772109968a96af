"""MAMBA on simple_spread: three agents cover three landmarks without running into each other.

MPE's game from PettingZoo (`mpe2`), 25 steps. Positions are small numbers, so the world model weighs them higher.
Nothing was tuned.

Expected: a mean return of -19 to -20 in 50 greedy episodes, -22 to -20 after 11,000 env steps (`docs/benchmarks.md`).
Budget: 50,000 env steps, 10 to 13 minutes on one thread.

    rllib example run mamba/simple_spread
"""

from rllib_mamba import MAMBAConfig

config = (
    MAMBAConfig()
    .environment("pettingzoo:mpe2.simple_spread_v3")
    .preset("small")
    .env_runners(num_envs_per_env_runner=8)
    .training(
        gamma=0.95,
        loss_scales={"reconstruction": 5.0},
        entropy_coeff=[[0, 0.02], [50_000, 0.003]],
    )
    .debugging(seed=0)
)

stop = {"num_env_steps_sampled_lifetime": 50_000}
