"""Collecting and learning without a cluster."""

from typing import Any

from rllib_mamba import MAPPOConfig, MAPPOLearner
from rllib_mamba.teams.env_runner import TeamEnvRunner


class Loop:
    """An env runner and a learner in this process, with the same weights at the beginning of every iteration."""

    def __init__(self, config: MAPPOConfig) -> None:
        config.debugging(seed=0, log_level="ERROR")
        config.validate()
        self.config = config
        self.runner = TeamEnvRunner(config=config, worker_index=0, num_workers=0)
        self.learner: MAPPOLearner = config.build_learner(env=config.env(config.env_config))
        self.env_steps = 0

    def collect(self) -> list[Any]:
        """The episodes of one iteration."""
        self.runner.module.set_state(self.learner.module.get_state())
        episodes = self.runner.sample(num_timesteps=self.config.total_train_batch_size)
        self.env_steps += sum(episode.env_steps() for episode in episodes)
        return episodes

    def learn(self, episodes: list[Any]) -> dict[str, dict[str, float]]:
        """One update; the results by team."""
        results = self.learner.update(episodes=episodes, timesteps={"num_env_steps_sampled_lifetime": self.env_steps})
        return {
            team: {name: value.peek() for name, value in values.items()}
            for team, values in results.items()
            if team in self.config.teams
        }
