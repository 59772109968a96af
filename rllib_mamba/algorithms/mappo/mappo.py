"""MAPPO as an RLlib `Algorithm`."""

from __future__ import annotations

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.utils.annotations import override
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, LEARNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME

from rllib_mamba.algorithms.mappo.config import MAPPOConfig
from rllib_mamba.algorithms.mappo.policy import MAPPOPolicy
from rllib_mamba.algorithms.team_algorithm import TeamAlgorithm


class MAPPO(TeamAlgorithm):
    """Multi-agent PPO with a centralised critic (Yu et al., NeurIPS 2022, arXiv 2103.01955).

    An iteration is that of RLlib's PPO: a batch of experience from the present policy, several passes over it, new
    weights for the env runners.
    """

    policy_class = MAPPOPolicy
    config: MAPPOConfig

    @classmethod
    @override(Algorithm)
    def get_default_config(cls) -> MAPPOConfig:
        """The configuration with its default options."""
        return MAPPOConfig(algo_class=cls)

    @override(Algorithm)
    def training_step(self) -> None:
        """One iteration: collects a batch, learns from it, hands out the new weights."""
        episodes = self._sample(max_env_steps=self.config.total_train_batch_size)
        # All env runners failed; RLlib starts them again.
        if not episodes:
            return
        env_steps = self.metrics.peek((ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME))
        with self._timed("learner_update"):
            results = self.learner_group.update(
                episodes=episodes, timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: env_steps}
            )
        self.metrics.aggregate(results, key=LEARNER_RESULTS)
        self._sync_weights()
