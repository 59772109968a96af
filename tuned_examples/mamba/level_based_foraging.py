"""MAMBA on level-based foraging: two players on an 8 x 8 grid lift food together.

The map Foraging-8x8-2p-2f-coop-v3, 50 steps; `-c env_config.name=...` takes another one. Nothing was tuned.

Expected: not measured here; 1 is the most food (`collected`) there is.
Budget: 50,000 env steps on an ordinary computer; time not measured.

    rllib example run mamba/level_based_foraging
"""

from rllib_mamba import MAMBAConfig

config = (
    MAMBAConfig()
    .environment("level_based_foraging")
    .preset("small")
    .env_runners(num_envs_per_env_runner=8)
    .training(entropy_coeff=[[0, 0.03], [50_000, 0.005]])
    .debugging(seed=0)
)

stop = {"num_env_steps_sampled_lifetime": 50_000}
