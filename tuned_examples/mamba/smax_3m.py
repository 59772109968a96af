"""MAMBA on SMAX's 3m, three marines against three, on an ordinary computer.

Battles last about 15 steps, and all of them count (gamma). The world model gets many updates, weighs what it observes
higher, because positions and distances are small numbers. Imagination is short; actor and critic begin anew as the
world model gets better, since what they learned from a poor one they do not unlearn.

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
        gamma=0.97,
        horizon=7,
        loss_scales={"reconstruction": 5.0},
        world_model_updates=40,
        agent_updates=8,
        num_epochs=3,
        update_every=100,
        min_steps_before_learning=500,
        agent_reset_steps=[2_000, 4_000, 7_000, 11_000, 15_000],
        world_model_lr=1e-3,
        actor_lr=1e-3,
        critic_lr=1e-3,
        entropy_coeff=[[0, 0.05], [12_000, 0.03], [20_000, 0.01]],
    )
    .reporting(metrics_num_episodes_for_smoothing=50, min_sample_timesteps_per_iteration=100)
    .debugging(seed=0)
)

stop = {"num_env_steps_sampled_lifetime": 20_000}
