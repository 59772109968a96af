"""MAMBA on Flatland with five trains, on an ordinary computer.

The map is the paper's (35 x 35, three cities, malfunctions). Unlike in the paper a train observes the next two
branches only, on scales near one, its actions that make no difference are masked, it learns from its own reward, and
coming closer to the target earns ten times as much.

Expected: 0.80 of the trains arrive, over 100 maps never trained on, in 37 minutes on one thread (`docs/benchmarks.md`).
Budget: 100,000 env steps on two processor cores.

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
            "rewards": {"finish": 10.0, "progress": 0.1, "deadlock": -5.0},
            "unreachable_distance": 100.0,
        },
    )
    .preset("small")
    .env_runners(num_envs_per_env_runner=8)
    .training(
        shared_reward=False,
        normalize_reward_loss=False,
        weigh_by_continuation=False,
        loss_scales={"reward": 10.0},
        entropy_coeff=[[0, 0.05], [30_000, 0.02], [100_000, 0.005]],
    )
    .debugging(seed=1)
)

stop = {"num_env_steps_sampled_lifetime": 100_000}
