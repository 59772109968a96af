"""MAMBA under RLlib: results, the schedule of updates, callbacks, evaluation, env runners."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ray.rllib.callbacks.callbacks import RLlibCallback
from small_envs import Village

from rllib_mamba import MAMBA, MAMBAConfig

pytestmark = pytest.mark.usefixtures("ray_cluster")

PLAYERS = 3
EPISODE_LENGTH = 12
METRICS = [
    "num_env_steps_sampled_lifetime",
    "env_runners/episode_return_mean",
    "env_runners/episode_len_mean",
    "env_runners/agent_episode_returns_mean/team",
    "env_runners/agent_returns/hunter_0",
    "env_runners/agent_returns/gatherer_2",
    "env_runners/episode_metrics/steps",
    "env_runners/num_env_steps_sampled_lifetime_throughput/throughput_since_last_reduce",
    "learners/num_world_model_updates_lifetime",
    "learners/num_agent_updates_lifetime",
    "learners/world_model_updates_per_env_step",
    "learners/agent_updates_per_env_step",
    *(
        f"learners/team/{name}"
        for name in (
            "reconstruction_loss",
            "reward_loss",
            "continue_loss",
            "available_action_loss",
            "action_information_loss",
            "kl_loss",
            "total_loss",
            "actor_loss",
            "value_loss",
            "prior_entropy",
            "posterior_entropy",
            "policy_entropy",
            "imagined_return",
            "imagined_reward",
            "world_model_gradient_norm",
            "actor_gradient_norm",
            "critic_gradient_norm",
            "entropy_coefficient",
            "world_model_learning_rate",
            "actor_learning_rate",
            "critic_learning_rate",
        )
    ),
    "replay_buffer/team/fill",
    "replay_buffer/team/size_in_bytes",
    *(
        f"timers/{phase}"
        for phase in (
            "env_runner_sample",
            "replay_add",
            "replay_sample",
            "world_model_update",
            "agent_update",
            "synch_weights",
        )
    ),
]


def symbol_game() -> MAMBAConfig:
    return MAMBAConfig().environment("symbol_game").preset("debug").debugging(seed=1)


def value_of(result: dict[str, Any], path: str) -> Any:
    for key in path.split("/"):
        result = result[key]
    return result


def optimizer_steps(algorithm: MAMBA, name: str) -> int:
    """How often an optimizer has really stepped, as it says itself."""

    def count(learner: Any) -> int:
        states = learner.get_optimizer("team", name).state.values()
        return max((int(state["step"]) for state in states), default=0)

    return algorithm.learner_group.foreach_learner(count).result_or_errors[0].get()


def actions_of_first_episodes(env_runner: Any) -> list[list[list[int]]]:
    """What the team does in the first episode of every village, with the explore setting of the env runner."""
    for env in env_runner.env.envs:
        env.unwrapped.env.episode = 0
    played = env_runner.sample(num_episodes=len(env_runner.env.envs))
    return [np.asarray(episode.agent_episodes["team"].get_actions()).tolist() for episode in played]


def test_results_have_every_metric(build: Callable) -> None:
    config = symbol_game().environment(Village, env_config={"masks": True})
    algorithm = build(config)
    algorithm.train()
    result = algorithm.train()
    for path in METRICS:
        assert np.isfinite(value_of(result, path)), path
    seconds = [value_of(result, path) for path in METRICS if path.startswith("timers/")]
    assert min(seconds) > 0
    assert 0.2 * result["time_this_iter_s"] < sum(seconds) < result["time_this_iter_s"]
    parameters = sum(value.size for value in algorithm.learner_group.get_weights()["team"].values())
    counts = [value_of(result, f"learners/team/num_{kind}trainable_parameters") for kind in ("", "non_")]
    assert sum(counts) == parameters
    assert value_of(result, "env_runners/episode_metrics/steps") == 8
    assert value_of(result, "env_runners/episode_len_mean") == 8
    # Hunters die and gatherers take turns: what they can earn differs.
    assert 0 <= value_of(result, "env_runners/agent_returns/hunter_0") <= 3
    assert 0 <= value_of(result, "env_runners/agent_returns/gatherer_0") <= 4
    # 8 steps of an episode and the absorbing rows behind it.
    rows = len(algorithm.replay_buffers["team"])
    assert value_of(result, "replay_buffer/team/fill") == pytest.approx(rows / config.replay_buffer_capacity)
    assert result["num_env_steps_sampled_lifetime"] < rows <= 1.25 * result["num_env_steps_sampled_lifetime"]


@pytest.mark.parametrize("num_envs", [1, 4])
def test_updates_follow_env_steps(num_envs: int, build: Callable) -> None:
    config = symbol_game().training(update_every=50, min_steps_before_learning=120, world_model_updates=2)
    algorithm = build(config.env_runners(num_envs_per_env_runner=num_envs))
    check_schedule(algorithm, update_every=50, first=120)


def check_schedule(algorithm: MAMBA, update_every: int, first: int) -> None:
    """Trains for 400 env steps and more, and compares the optimizers' own counts with the steps."""
    steps_before, steps = 0, 0
    while steps < 400:
        steps_before = steps
        steps = algorithm.train()["num_env_steps_sampled_lifetime"]
    # The steps sampled last are learned from in the next iteration, whose own rounds are shorter than an iteration.
    config = algorithm.config
    least, most = (1 + (count - first) // update_every for count in (steps_before, steps))
    cycles = optimizer_steps(algorithm, "world_model") / config.world_model_updates
    assert least <= cycles <= most
    result = algorithm.train()
    assert result["learners"]["num_world_model_updates_lifetime"] == optimizer_steps(algorithm, "world_model")
    ratio = result["learners"]["world_model_updates_per_env_step"] * update_every / config.world_model_updates
    assert ratio == pytest.approx(1, abs=0.4)


def test_paper_updates_once_for_every_episode(build: Callable) -> None:
    config = symbol_game().preset("paper").training(min_steps_before_learning=4 * EPISODE_LENGTH)
    algorithm = build(config.env_runners(num_envs_per_env_runner=1))
    assert config.update_every == "episode"
    algorithm.train()
    result = algorithm.train()
    episodes = result["env_runners"]["num_episodes_lifetime"]
    cycles = result["learners"]["num_world_model_updates_lifetime"]
    assert optimizer_steps(algorithm, "world_model") == cycles
    # One cycle as learning begins and one for each later episode, up to what was sampled last.
    assert episodes - 4 - 2 <= cycles <= episodes - 4 + 1


def test_actor_and_critic_begin_anew_and_the_world_model_stays(build: Callable) -> None:
    """With next to no learning rates, only what begins anew can change."""
    frozen = {"world_model_lr": 1e-30, "actor_lr": 1e-30, "critic_lr": 1e-30, "actor_weight_decay": 0.0}
    config = symbol_game().training(agent_reset_steps=[250, 260], agent_updates_after_reset=7, **frozen)
    algorithm = build(config)
    weights, updates, resets = [], [], []
    for _ in range(6):
        learners = algorithm.train()["learners"]
        updates.append(learners["num_agent_updates_lifetime"])
        resets.append(learners["num_agent_resets_lifetime"])
        weights.append(algorithm.learner_group.get_weights()["team"])
    # Learning begins after 100 env steps, in the second iteration; 300 are there in the fourth, past both at once.
    assert resets == [0, 0, 0, 1, 1, 1]
    assert updates == [0, 1, 2, 3 + 7, 11, 12]
    for before, after, moved in zip(weights, weights[1:], np.diff(resets) > 0, strict=False):
        for name in before:
            is_agent = name.startswith(("networks.actor.", "critic.", "target_critic."))
            if before[name].ndim == 2:  # The others do not begin with random numbers.
                assert np.array_equal(before[name], after[name]) != (moved and is_agent), name
    for name, value in weights[-1].items():
        if name.startswith("critic."):
            np.testing.assert_allclose(weights[-1][f"target_{name}"], value, atol=1e-20)


def test_a_run_goes_on_with_other_resets_of_which_only_those_to_come_count(tmp_path: Path, build: Callable) -> None:
    algorithm = build(symbol_game().training(agent_reset_steps=[150, 250]))
    for _ in range(4):
        result = algorithm.train()
    assert result["learners"]["num_agent_resets_lifetime"] == 2
    restored = build(symbol_game().training(agent_reset_steps=[120, 450]))
    restored.restore_from_path(algorithm.save_to_path(tmp_path))
    resets = [restored.train()["learners"]["num_agent_resets_lifetime"] for _ in range(3)]
    # 400 env steps were there, then 500.
    assert resets == [2, 3, 3]


class CountsEpisodes(RLlibCallback):
    def on_episode_end(self, *, metrics_logger: Any, **kwargs: Any) -> None:
        metrics_logger.log_value("users_episodes", 1, reduce="sum")


class KeepsResults(RLlibCallback):
    def on_train_result(self, *, result: dict[str, Any], **kwargs: Any) -> None:
        result["users_result"] = result["training_iteration"] * 10


def mark_created(*, env_runner: Any, metrics_logger: Any, **kwargs: Any) -> None:
    metrics_logger.log_value("users_function", 7, window=1)


@pytest.mark.parametrize("classes", [CountsEpisodes, [CountsEpisodes, KeepsResults]], ids=["class", "list"])
def test_user_callbacks_work_beside_ours(classes: Any, build: Callable) -> None:
    config = symbol_game().callbacks(classes, on_episode_start=mark_created)
    algorithm = build(config)
    result = algorithm.train()
    runners = result["env_runners"]
    assert runners["users_episodes"] == runners["num_episodes"] > 0
    assert runners["users_function"] == 7
    assert set(runners["agent_returns"]) == {f"player_{index}" for index in range(PLAYERS)}
    assert result.get("users_result") == (10 if isinstance(classes, list) else None)


def test_evaluation_in_this_process_is_greedy_and_may_have_another_number_of_agents(build: Callable) -> None:
    config = (
        symbol_game()
        .environment(env_config={"episode_length": 6, "num_symbols": 4})
        .evaluation(
            evaluation_interval=2,
            evaluation_duration=5,
            evaluation_config={"explore": False, "env_config": {"num_agents": 4}},
        )
    )
    algorithm = build(config)
    assert "evaluation" not in algorithm.train()
    evaluation = algorithm.train()["evaluation"]["env_runners"]
    # RLlib plays on in all four sub-environments until there are enough.
    assert 5 <= evaluation["num_episodes"] <= 8
    assert set(evaluation["agent_returns"]) == {"player_0", "player_1", "player_2", "player_3"}
    # The rest of the environment's settings stay as they are in training.
    assert evaluation["episode_len_mean"] == 6
    assert set(algorithm.config.teams["team"]) == {"player_0", "player_1", "player_2"}


def test_explore_false_always_acts_alike(build: Callable) -> None:
    config = symbol_game().environment(Village)
    config.evaluation(evaluation_interval=1, evaluation_duration=1, evaluation_config={"explore": False})
    algorithm = build(config)
    algorithm.train()
    # Episodes in the village differ in their number alone.
    greedy = [actions_of_first_episodes(algorithm.eval_env_runner) for _ in range(2)]
    assert greedy[0] == greedy[1]
    assert all(actions == greedy[0][0] for actions in greedy[0])
    exploring = actions_of_first_episodes(algorithm.env_runner)
    assert any(actions != exploring[0] for actions in exploring)


def test_remote_env_runners_and_remote_evaluation(build: Callable) -> None:
    config = (
        symbol_game()
        .env_runners(num_env_runners=2, num_envs_per_env_runner=2)
        .training(update_every=50, min_steps_before_learning=120)
        .evaluation(
            evaluation_interval=1,
            evaluation_num_env_runners=1,
            evaluation_duration=4,
            evaluation_config={"explore": False, "env_config": {"num_agents": 4}},
        )
    )
    algorithm = build(config)
    result = algorithm.train()
    runners = algorithm.env_runner_group
    assert result["fault_tolerance"]["num_healthy_workers"] == 2
    assert len(result["evaluation"]["env_runners"]["agent_returns"]) == 4
    assert not algorithm.eval_env_runner_group.foreach_env_runner(
        lambda runner: runner.config.explore, local_env_runner=False
    )[0]

    # Every environment draws symbols of its own.
    states = runners.foreach_env_runner(
        lambda runner: [str(env.unwrapped.env.np_random.bit_generator.state["state"]) for env in runner.env.envs],
        local_env_runner=False,
    )
    assert len({state for of_runner in states for state in of_runner}) == 4

    check_schedule(algorithm, update_every=50, first=120)

    # In an iteration they act with the weights learned in it.
    learned = algorithm.learner_group.get_weights()["team"]
    for weights in runners.foreach_env_runner(
        lambda runner: {name: value.numpy() for name, value in runner.module["team"].state_dict().items()},
        local_env_runner=False,
    ):
        assert weights
        assert all(np.array_equal(value, learned[name]) for name, value in weights.items())
