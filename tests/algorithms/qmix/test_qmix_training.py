"""QMIX through RLlib: deaths, turns and masks, several teams, exploration, checkpoints, the policy, bad input."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from play import play
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.rl_module import RLModule
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from runs import acting_weights, assert_different, assert_same, learner_results, weights
from signals import Signals
from small_envs import Village

from rllib_mamba import QMIX, QMIXConfig, QMIXPolicy
from rllib_mamba.algorithms.qmix.acting import best_actions
from rllib_mamba.algorithms.qmix.rl_module import ACTION_VALUES
from rllib_mamba.replay import TeamEpisodeReplayBuffer
from rllib_mamba.teams.env_runner import TeamEnvRunner

pytestmark = pytest.mark.usefixtures("ray_cluster")

MODULE = "learner_group/learner/rl_module/team"


def debug(environment: Any, **options: Any) -> QMIXConfig:
    """A seeded run of seconds."""
    config = QMIXConfig().environment(environment).preset("debug").debugging(seed=3, log_level="ERROR")
    return config.training(**options)


def steps_until_learning(algorithm: QMIX) -> None:
    while not algorithm.update_schedule.cycles_done:
        algorithm.train()


@pytest.fixture(scope="module")
def signals_run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A run on agents that die, appear and take turns, with masks: its checkpoint, and what came next."""
    schedule = [[0, 1e-3], [600, 1e-5]]
    config = debug(Signals, epsilon=0.3, lr=schedule, td_lambda=0.5, target_update_interval=3)
    # One round of collecting an iteration: what it learns from was all there when it began.
    algorithm = config.env_runners(rollout_fragment_length=25).build_algo()
    results = [algorithm.train() for _ in range(2)]
    path = algorithm.save_to_path(str(tmp_path_factory.mktemp("signals")))
    run = {"checkpoint": Path(path), "before": weights(algorithm), "first": results[0], "last": results[-1]}
    run["acting"] = pickle.loads(pickle.dumps(acting_weights(algorithm)))
    run["result"] = algorithm.train()
    run["after"] = weights(algorithm)
    run["schedule"] = algorithm.update_schedule.get_state()
    algorithm.stop()
    return run


def test_results_have_the_names_of_all_team_algorithms(signals_run: dict[str, Any]) -> None:
    result = signals_run["last"]
    team, replay = result["learners"]["team"], result["replay_buffer"]["team"]
    for name in ("total_loss", "td_loss", "td_error_abs_mean", "q_taken_mean", "target_mean", "gradient_norm"):
        assert np.isfinite(team[name]), name
    assert 1e-5 < team["default_optimizer_learning_rate"] < 1e-3
    assert result["learners"]["num_value_updates_lifetime"] > 2
    # An update for every episode after the first four.
    episodes = result["env_runners"]["num_episodes_lifetime"]
    updates = signals_run["schedule"]["cycles_done"]
    assert replay["num_episodes"] == episodes
    assert updates <= 1 + signals_run["result"]["env_runners"]["num_episodes_lifetime"] - 4
    assert updates >= 1 + episodes - 4
    assert replay["fill"] == episodes / 500
    assert set(result["env_runners"]["agent_returns"]) == {"scout", "heavy_0", "heavy_1"}
    assert result["learners"]["epsilon"] == pytest.approx(0.3)


def test_a_restored_run_goes_on_as_if_nothing_had_happened(signals_run: dict[str, Any]) -> None:
    restored = QMIX.from_checkpoint(signals_run["checkpoint"])
    assert_same(weights(restored), signals_run["before"])
    result = restored.train()
    assert_same(learner_results(result), learner_results(signals_run["result"]))
    assert_same(weights(restored), signals_run["after"])
    assert_different(signals_run["after"], signals_run["before"])
    # Back again, on an algorithm that is ahead, from memory.
    state = pickle.loads(pickle.dumps(restored.get_state()))
    restored.train()
    restored.set_state(state)
    assert_same(weights(restored), signals_run["after"])
    restored.stop()


def test_env_runners_act_with_the_weights_that_were_learned(signals_run: dict[str, Any]) -> None:
    for acting in signals_run["acting"]:
        assert acting
        assert_same(acting, {name: signals_run["before"][name] for name in acting})
        # What only training needs stays where training is.
        assert all(name.startswith("team/networks") for name in acting)


@pytest.mark.parametrize("greedy", [True, False])
def test_the_policy_acts_as_the_module_does(greedy: bool, signals_run: dict[str, Any], tmp_path: Path) -> None:
    module = RLModule.from_checkpoint(signals_run["checkpoint"] / MODULE)
    policy = QMIXPolicy.from_checkpoint(signals_run["checkpoint"])
    assert play(module, policy, greedy, seed=5) > 100
    policy.export(tmp_path)
    exported = QMIXPolicy.load(tmp_path)
    assert play(module, exported, greedy, seed=7) > 100
    assert exported.presets == ("debug",)


def test_training_values_what_acting_valued() -> None:
    """Over whole episodes with deaths, turns and masks, the greedy actions are the best ones by training's values."""
    config = debug(Signals)
    config.validate()
    runner = TeamEnvRunner(config=config, worker_index=0)
    module = config.get_multi_rl_module_spec(env=runner.env.envs[0].unwrapped).rl_module_specs["team"].build()
    # Values that depend on what was seen and done long ago.
    for parameter in module.networks.parameters():
        torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(1))
    runner.module["team"].set_state(module.get_state())
    buffer = TeamEpisodeReplayBuffer(capacity_episodes=10)
    buffer.add_episodes(runner.sample(num_episodes=8, explore=False), "team")
    runner.stop()
    episodes = {name: torch.from_numpy(column) for name, column in buffer.batch(range(8)).items()}
    values = module.forward_train(episodes)[ACTION_VALUES]
    best = best_actions(values, module.legal_actions(episodes))
    acted = episodes["alive"] & episodes["filled"].unsqueeze(-1)
    assert acted.sum() > 100
    assert (best == episodes["action"])[acted].all()
    # Otherwise the network's memory would not matter.
    without_memory, _ = module.networks(
        episodes["obs"].flatten(0, 1).unsqueeze(1),
        torch.full_like(episodes["action"], -1).flatten(0, 1).unsqueeze(1),
        torch.zeros(len(acted) * acted.shape[1], 3, module.networks.config.hidden_size),
    )
    forgetful = best_actions(without_memory.reshape(values.shape), module.legal_actions(episodes))
    assert (forgetful != episodes["action"])[acted].any()


def test_exploration_follows_the_env_steps_and_is_legal() -> None:
    config = debug(Signals, epsilon=[[0, 1.0], [1000, 0.2]])
    config.validate()
    env = config.env(config.env_config)
    module = config.get_multi_rl_module_spec(env=env).rl_module_specs["team"].build()
    size = 4000
    mask = torch.tensor([[1, 0, 1], [1, 1, 0], [1, 1, 0]], dtype=torch.int8)
    observation = {
        "obs": torch.zeros(size, 1, 3, 4),
        "alive": torch.tensor([1, 1, 0], dtype=torch.int8).expand(size, 1, 3),
        "action_mask": mask.expand(size, 1, 3, 3),
    }
    state = {name: torch.as_tensor(part).expand(size, *part.shape) for name, part in module.get_initial_state().items()}
    batch = {Columns.OBS: observation, Columns.STATE_IN: state}
    greedy = module.forward_inference(batch)[Columns.ACTIONS]
    assert (greedy == greedy[0]).all()
    torch.manual_seed(0)
    for env_steps, epsilon in ((0, 1.0), (500, 0.6), (1000, 0.2), (9000, 0.2)):
        actions = module.forward_exploration(batch, t=env_steps)[Columns.ACTIONS][:, 0]
        assert set(actions[:, 0].tolist()) == {0, 2}
        assert set(actions[:, 1].tolist()) == {0, 1}
        # An agent that does not act has the action 0.
        assert not actions[:, 2].any()
        for agent in (0, 1):
            # Half of the random actions are the greedy one.
            others = (actions[:, agent] != greedy[0, 0, agent]).float().mean().item()
            assert others == pytest.approx(epsilon / 2, abs=0.03)


def test_epsilon_falls_within_an_iteration(build: Callable) -> None:
    algorithm = build(debug("symbol_game", epsilon=[[0, 1.0], [400, 0.0]]))
    config = algorithm.config
    steps_per_call = config.num_envs_per_env_runner * config.get_rollout_fragment_length()
    module = algorithm.env_runner.module["team"]
    epsilons = []
    for _ in range(4):
        algorithm.training_step()
        epsilons.append(float(module.epsilon_schedule.get_current_value()))
    last_steps = np.arange(1, 5) * steps_per_call - config.num_envs_per_env_runner
    np.testing.assert_allclose(epsilons, 1 - last_steps / 400, atol=0.02)


def test_every_team_mixes_its_own(build: Callable) -> None:
    config = debug(Village)
    config.environment(env_config={"masks": True}).multi_agent(
        policies={"hunter", "gatherer"}, policy_mapping_fn=lambda agent_id, *args, **kwargs: agent_id.split("_")[0]
    )
    algorithm = build(config)
    before = weights(algorithm)
    steps_until_learning(algorithm)
    result = algorithm.train()
    after = weights(algorithm)
    for team, size in (("hunter", 2), ("gatherer", 3)):
        assert np.isfinite(result["learners"][team]["td_loss"])
        assert len(algorithm.get_policy(team).layout.agents) == size
        for part in ("networks", "mixer"):
            names = [name for name in before if name.startswith(f"{team}/{part}.")]
            assert names
            assert any(not np.array_equal(before[name], after[name]) for name in names)


# ------------------------------------------------------------------ bad input


class Duel(MultiAgentEnv):
    """Two agents for four steps; what one wins the other loses."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.possible_agents = self.agents = ["left", "right"]
        box = gym.spaces.Box(-1, 1, (1,), np.float32)
        self.observation_spaces = dict.fromkeys(self.agents, box)
        action: gym.Space = gym.spaces.Discrete(2)
        self.action_spaces = dict.fromkeys(self.agents, box if config.get("continuous") else action)
        self.stake = config.get("stake", -1.0)

    def reset(self, **kwargs: Any) -> Any:
        self.count = 0
        return dict.fromkeys(self.agents, np.zeros(1, np.float32)), {}

    def step(self, action_dict: dict[str, int]) -> tuple[Any, ...]:
        self.count += 1
        won = float(action_dict["left"]) + 0.1
        rewards = {"left": won, "right": self.stake * won}
        seen = dict.fromkeys(self.agents, np.zeros(1, np.float32))
        return seen, rewards, {"__all__": self.count == 4}, {"__all__": False}, {}


def test_opponents_in_one_team_are_an_error_before_anything_is_learned(build: Callable) -> None:
    algorithm = build(debug(Duel))
    before = weights(algorithm)
    with pytest.raises(ValueError, match="rewards of the agents of team 'team' cancel out"):
        steps_until_learning(algorithm)
    assert_same(weights(algorithm), before)


def test_different_rewards_are_said_to_be_joined(build: Callable, caplog: pytest.LogCaptureFixture) -> None:
    algorithm = build(debug(Duel).environment(env_config={"stake": 0.5}))
    steps_until_learning(algorithm)
    assert "get different rewards. QMIX learns from one reward for the whole team: the mean" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mixer": "sum"}, r"mixer='sum' is out of range: expected one of 'qmix', 'vdn', None"),
        ({"td_lambda": 1.5}, r"td_lambda=1\.5 is out of range: expected a number in \[0, 1\]"),
        ({"epsilon": [[0, 1.2], [10, 0.0]]}, r"epsilon=.* is out of range"),
        ({"lr": 0.0}, r"lr=0\.0 is out of range: expected a positive number"),
        ({"hypernetwork_hidden_size": 0}, r"hypernetwork_hidden_size=0 .* at least 1, or None"),
        ({"batch_size": 6000}, r"batch_size=6000 exceeds replay_buffer_capacity_episodes"),
        ({"grad_clip_by": "value"}, r"grad_clip_by='value' is out of range"),
        ({"update_every_unit": "hours"}, r"update_every_unit='hours' is out of range"),
    ],
)
def test_an_option_out_of_range_is_an_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        debug("symbol_game", **options).validate()


def test_continuous_actions_are_an_error() -> None:
    with pytest.raises(ValueError, match="only Discrete action spaces are supported"):
        debug(Duel).environment(env_config={"continuous": True}).validate()


def test_an_unknown_preset_is_an_error_and_the_tuned_one_is_whole() -> None:
    with pytest.raises(ValueError, match=r"QMIX has no preset 'finetune'.*Did you mean 'finetuned'"):
        QMIXConfig().preset("finetune")
    config = QMIXConfig().preset("finetuned")
    assert (config.optimizer_type, config.td_lambda, config.batch_size) == ("adam", 0.6, 128)
    config.environment("symbol_game").validate()


def test_learners_share_the_batch_evenly() -> None:
    with pytest.raises(ValueError, match="batch_size=4 is not a multiple of num_learners=3"):
        debug("symbol_game").learners(num_learners=3).validate()
