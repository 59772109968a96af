"""QMIX on Flatland with ten trains.

The fine-tuned values of Hu et al. (2021), but batches of 16 episodes, which are hundreds of steps long here, and a
replay of 200,000 env steps in half precision (0.8 GiB). Nothing was tuned for Flatland. QMIX learns the mean of the
trains' rewards.

Expected: not measured here.
Budget: 10,000,000 env steps, ten times MAMBA's; time not measured.

    rllib example run qmix/flatland_10_agents
"""

from rllib_mamba import QMIXConfig

config = (
    QMIXConfig()
    .environment("flatland_10_agents")
    .preset("finetuned")
    .training(batch_size=16, replay_buffer_capacity_env_steps=200_000, replay_observation_dtype="float16")
    .debugging(seed=0)
)

stop = {"num_env_steps_sampled_lifetime": 10_000_000}
