"""Environments for algorithms of RLlib: what their default networks and metrics need is added."""

import json
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import pytest
from ray.rllib.algorithms.ppo import PPOConfig

from rllib_mamba.cli.environments import report_episode_metrics, set_environment
from rllib_mamba.teams.metrics import EpisodeMetricsCallback

GAME = """
import gymnasium as gym
from ray.rllib.env.multi_agent_env import MultiAgentEnv


class Guessing(MultiAgentEnv):
    def __init__(self, config=None):
        self.possible_agents = self.agents = ["a", "b"]
        super().__init__()
        self.observation_spaces = dict.fromkeys(self.agents, gym.spaces.Discrete(3))
        self.action_spaces = dict.fromkeys(self.agents, gym.spaces.Discrete(3))

    def reset(self, *, seed=None, options=None):
        self.step_count = 0
        return {"a": 0, "b": 1}, {}

    def step(self, actions):
        self.step_count += 1
        over = self.step_count == 4
        infos = {"__common__": {"episode_metrics": {"steps": float(self.step_count)}}} if over else {}
        seen = {"a": self.step_count % 3, "b": 2}
        return seen, {"a": 1.0, "b": 0.5}, {"__all__": over}, {"__all__": False}, infos
"""


def test_ppo_trains_on_discrete_observations_and_reports_the_environments_metrics(
    cluster: None, rllib: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "guessing_game.py").write_text(GAME)
    monkeypatch.syspath_prepend(str(tmp_path))

    small = ["-c", "train_batch_size=32", "-c", "minibatch_size=32", "-c", "num_epochs=1", "--num-env-runners", "0"]
    ran = rllib(
        *("train", "--algo", "PPO", "--env", "guessing_game:Guessing", *small),
        *("--stop-iters", "1", "--local-mode", "--local-dir", tmp_path / "results"),
    )

    assert ran.code == 0, ran.error
    assert "Observations are flattened" in ran.out
    [file] = (tmp_path / "results").glob("default/*/result.json")
    [line] = file.read_text().splitlines()
    assert json.loads(line)["env_runners"]["episode_metrics"] == {"steps": 4.0}


@pytest.mark.parametrize(
    ("environment", "flattened"), [("CartPole-v1", False), ("FrozenLake-v1", True), ("symbol_game", False)]
)
def test_observations_are_flattened_where_networks_need_it(environment: str, flattened: bool) -> None:
    config = PPOConfig()

    note = set_environment(config, environment)

    assert ("flattened" in (note or "")) == flattened
    if flattened:
        connector = config.build_env_to_module_connector(env=gym.make_vec(environment))
        assert "FlattenObservations" in [type(piece).__name__ for piece in connector.connectors]


def test_callbacks_of_the_users_stay() -> None:
    class Mine(EpisodeMetricsCallback):
        pass

    config = PPOConfig().callbacks(Mine)
    set_environment(config, "symbol_game")

    for _ in range(2):
        report_episode_metrics(config)

    assert config.callbacks_class == [Mine, EpisodeMetricsCallback]
