"""MAMBA on SMAX's 8m: eight marines against eight.

The settings that were found for smax_3m, with schedules as long as this budget and rewards that count further ahead,
since battles last longer. Nothing was tuned for this scenario.

Expected: not measured here.
Budget: 50,000 env steps on an ordinary computer; time not measured.

    rllib example run mamba/smax_8m
"""

from rllib_mamba import MAMBAConfig

config = (
    MAMBAConfig()
    .environment("smax_8m")
    .preset("small")
    .env_runners(num_envs_per_env_runner=8)
    .training(
        gamma=0.97,
        horizon=7,
        loss_scales={"reconstruction": 5.0},
        world_model_updates=40,
        agent_updates=8,
        num_epochs=3,
        update_every=100,
        min_steps_before_learning=500,
        agent_reset_steps=[5_000, 10_000, 17_500, 27_500, 37_500],
        world_model_lr=1e-3,
        actor_lr=1e-3,
        critic_lr=1e-3,
        entropy_coeff=[[0, 0.05], [30_000, 0.03], [50_000, 0.01]],
    )
    .reporting(metrics_num_episodes_for_smoothing=50, min_sample_timesteps_per_iteration=100)
    .debugging(seed=0)
)

stop = {"num_env_steps_sampled_lifetime": 50_000}
