"""MAPPO under RLlib: results, teams, learners, checkpoints, and the policy without a cluster."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from play import play
from ray.rllib.core.rl_module.rl_module import RLModule
from runs import acting_weights, assert_different, assert_same, leaves, weights
from signals import Signals
from small_envs import Village

from rllib_mamba import MAMBAPolicy, MAPPOConfig, MAPPOPolicy
from rllib_mamba.algorithms.mappo.presets import PRESETS

MODULES = "learner_group/learner/rl_module"
METRICS = [
    "env_runners/episode_return_mean",
    "env_runners/agent_episode_returns_mean/hunters",
    "env_runners/agent_returns/hunter_0",
    "env_runners/episode_metrics/steps",
    *(
        f"learners/{team}/{name}"
        for team in ("hunters", "gatherers")
        for name in (
            "total_loss",
            "actor_loss",
            "value_loss",
            "policy_entropy",
            "policy_kl",
            "clipped_fraction",
            "actor_gradient_norm",
            "critic_gradient_norm",
            "entropy_coefficient",
            "return_mean",
            "explained_variance",
            "actor_learning_rate",
            "critic_learning_rate",
        )
    ),
    "timers/env_runner_sample",
    "timers/learner_update",
    "timers/synch_weights",
]


def village(**options: Any) -> MAPPOConfig:
    config = MAPPOConfig().environment(Village, env_config={"masks": True}).preset("debug").training(**options)
    return config.debugging(seed=1, log_level="ERROR")


def hunters_and_gatherers(agent_id: str, *args: Any, **kwargs: Any) -> str:
    return f"{agent_id.split('_')[0]}s"


def value_of(result: dict[str, Any], path: str) -> Any:
    for key in path.split("/"):
        result = result[key]
    return result


@pytest.mark.usefixtures("ray_cluster")
def test_two_teams_have_every_metric_and_are_evaluated(build: Callable) -> None:
    config = village().multi_agent(policies={"hunters", "gatherers"}, policy_mapping_fn=hunters_and_gatherers)
    config.evaluation(evaluation_interval=1, evaluation_duration=2, evaluation_config={"explore": False})
    algorithm = build(config)
    before = weights(algorithm)
    # The village raises where an illegal action is taken.
    result = algorithm.train()
    for path in METRICS:
        assert np.isfinite(value_of(result, path)), path
    assert result["num_env_steps_sampled_lifetime"] >= config.train_batch_size_per_learner
    assert value_of(result, "evaluation/env_runners/episode_metrics/steps") == 8
    after = weights(algorithm)
    for team in ("hunters", "gatherers"):
        own = [name for name in after if name.startswith(team)]
        assert_different({name: after[name] for name in own}, {name: before[name] for name in own})
    [acting] = acting_weights(algorithm)
    assert_same(acting, {name: after[name] for name in acting})


@pytest.mark.usefixtures("ray_cluster")
def test_two_learners_and_remote_env_runners_stay_alike_and_go_on_from_a_checkpoint(
    build: Callable, tmp_path: Path
) -> None:
    # Without a seed each process would draw its own first weights. Sharing episodes out cuts some of them in two.
    config = village(train_batch_size_per_learner=51, max_seq_len=3, num_minibatches=2).debugging(seed=None)
    algorithm = build(config.env_runners(num_env_runners=2, num_envs_per_env_runner=1).learners(num_learners=2))
    before = weights(algorithm)
    for _ in range(2):
        algorithm.train()
    learners = algorithm.learner_group.foreach_learner(lambda learner: learner.module.get_state())
    first, second = (dict(leaves(result.get())) for result in learners)
    assert_same(second, first)
    assert_different(first, before)
    for acting in acting_weights(algorithm)[1:]:
        assert_same(acting, {name: first[name] for name in acting})
    algorithm.save_to_path(tmp_path)
    alone = build(village(train_batch_size_per_learner=51, max_seq_len=3))
    alone.restore_from_path(tmp_path)
    assert_same(weights(alone), first)
    assert alone.train()["training_iteration"] == 3


@pytest.fixture(scope="module")
def checkpoint(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a team in a game with masks, deaths and agents of different sizes."""
    path = tmp_path_factory.mktemp("mappo")
    algorithm = village().environment(Signals, env_config={}).build_algo()
    algorithm.train()
    algorithm.save_to_path(path)
    algorithm.stop()
    return path


def test_the_policy_acts_as_the_module_does_wherever_it_comes_from(checkpoint: Path, tmp_path: Path) -> None:
    policy = MAPPOPolicy.from_checkpoint(checkpoint)
    module = RLModule.from_checkpoint(checkpoint / MODULES / "team")
    policy.export(tmp_path)
    for each in (policy, MAPPOPolicy.load(tmp_path)):
        assert each.presets == ("debug",)
        for greedy in (True, False):
            assert play(module, each, greedy, seed=4) > 100


@pytest.mark.parametrize("recurrent", [True, False])
def test_a_policy_without_memory_needs_none(recurrent: bool, build: Callable, ray_cluster: None) -> None:
    policy = build(village(recurrent=recurrent)).get_policy()
    game = Village({"masks": True})
    torch.manual_seed(0)
    policy.reset(2)
    observations, infos = game.reset()
    [first, same] = policy.act_in_all([observations] * 2, [infos] * 2)
    assert first == same
    assert first.keys() == observations.keys()
    assert policy.get_initial_state()[0].size == (5 * 32 if recurrent else 0)


def test_teams_of_other_algorithms_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    MAPPOPolicy.from_checkpoint(checkpoint).export(tmp_path)
    with pytest.raises(ValueError, match="made by MAPPO, not by MAMBA"):
        MAMBAPolicy.from_checkpoint(checkpoint)
    with pytest.raises(ValueError, match="a team of MAPPO, not of MAMBA"):
        MAMBAPolicy.load(tmp_path)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_sets_known_options_and_is_valid(name: str) -> None:
    config = MAPPOConfig().environment("symbol_game").preset(name)
    config.validate()
    for option, value in PRESETS[name].items():
        assert getattr(config, option) == value


class Continuous(Village):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.action_spaces["hunter_0"] = gym.spaces.Box(-1.0, 1.0, (2,))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": 1e-4}, "lr=0.0001 has no effect on MAPPO: set actor_lr and critic_lr"),
        ({"minibatch_size": 128}, "minibatch_size=128 has no effect on MAPPO: set num_minibatches"),
        ({"value_normalization": "batch"}, r"value_normalization='batch' .* 'running', 'popart', None"),
        ({"huber_delta": -1.0}, r"huber_delta=-1.0 .* above 0, or None"),
        ({"num_epochs": 0}, "num_epochs=0 .* at least 1"),
        ({"entropy_coeff": [[10, 0.1]]}, "entropy_coeff=.* schedule .* from step 0 on"),
        ({"recurent": False}, "MAPPOConfig has no option 'recurent'. Did you mean recurrent"),
        ({"env": Continuous}, r"action space of agent 'hunter_0' is Box\(.*only Discrete"),
        ({"rollout_fragment_length": 7}, "train_batch_size"),
    ],
)
def test_what_cannot_be_used_is_one_error(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        village().update_from_dict(change).validate()


def test_independent_ppo_is_one_flag() -> None:
    sizes = []
    for centralized in (True, False):
        config = village(use_centralized_critic=centralized)
        config.validate()
        module = config.build_learner(env=config.env(config.env_config)).module["team"]
        sizes.append(module.critic.inputs.size)
    agents, observation = 5, 4
    assert sizes == [agents * observation + observation + agents, observation + agents]
