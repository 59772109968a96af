"""MAMBA on Flatland with five trains, on an ordinary computer.

The map is the paper's (35 x 35, three cities, malfunctions), with distances in the observation on scales near one,
masks of the actions that make no difference, and ten times the paper's reward for coming closer to the target.
Budget: 100,000 env steps on two processor cores. What it reaches, and in what time, is in `docs/benchmarks.md`.

    rllib train file tuned_examples/mamba/flatland_5_agents_small.py
"""

from rllib_mamba import MAMBAConfig

config = (
    MAMBAConfig()
    .environment(
        "flatland_5_agents",
        env_config={
            "tree_depth": 1,
            "scaled_features": True,
            "action_masks": True,
            "progress_reward": 0.1,
            "unreachable_distance": 100.0,
        },
    )
    .preset("small")
    .env_runners(num_envs_per_env_runner=8)
    .training(
        world_model_lr=1e-3,
        actor_lr=5e-4,
        critic_lr=8e-4,
        shared_reward=False,
        entropy_coeff=[[0, 0.05], [30_000, 0.02], [100_000, 0.005]],
        sequence_length=20,
        horizon=11,
        update_every=125,
        world_model_updates=12,
        loss_scales={"reward": 10.0},
        num_epochs=2,
        agent_updates=1,
        min_steps_before_learning=2_000,
    )
    .debugging(seed=1)
)

stop = {"num_env_steps_sampled_lifetime": 100_000}
