"""MAMBA on SMAX's 3m, three marines against three, on an ordinary computer.

Fights last about 16 steps: rewards count for about twenty steps ahead (gamma). The world model gets many updates, and
weighs what it observes higher, because positions and distances are small numbers. Actor and critic learn fast at first.

Budget: 20,000 env steps on two processor cores. What it reaches, and in what time, is in `docs/benchmarks.md`.

    rllib train file tuned_examples/mamba/smax_3m.py
"""

from rllib_mamba import MAMBAConfig

config = (
    MAMBAConfig()
    .environment("smax_3m")
    .preset("small")
    .env_runners(num_envs_per_env_runner=8)
    .training(
        gamma=0.95,
        horizon=15,
        loss_scales={"reconstruction": 5.0},
        world_model_updates=40,
        agent_updates=4,
        num_epochs=3,
        update_every=100,
        min_steps_before_learning=500,
        actor_lr=[[0, 1e-3], [8_000, 5e-4], [20_000, 1e-4]],
        critic_lr=1e-3,
        entropy_coeff=[[0, 0.03], [8_000, 0.01], [20_000, 0.003]],
    )
    .reporting(metrics_num_episodes_for_smoothing=50, min_sample_timesteps_per_iteration=100)
    .debugging(seed=0)
)

stop = {"num_env_steps_sampled_lifetime": 20_000}
