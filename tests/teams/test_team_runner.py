"""Teams under RLlib's real env runners."""

from typing import Any

import numpy as np
import pytest
import ray
import scripted
import tree
from ray.rllib.env.env_runner_group import EnvRunnerGroup
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner
from ray.rllib.execution.rollout_ops import synchronous_parallel_sample
from scripted import runner_config

from rllib_mamba.teams import ConfiguredTeamEnv, columns
from rllib_mamba.teams.env_runner import TeamEnvRunner, raise_data_errors
from rllib_mamba.teams.errors import EnvironmentDataError
from rllib_mamba.teams.metrics import AGENT_RETURNS, EPISODE_METRICS, DropModelOutputsCallback, TeamMetricsCallback

# Worker processes cannot import what lies beside a test.
ray.cloudpickle.register_pickle_by_value(scripted)

LENGTH = 6
TEAMS = {"early": ("early_0", "early_1"), "rest": ("late_0", "late_1", "turn_0", "turn_1")}


def make_runner(num_envs: int = 1, callbacks: Any = (), seed: int | None = None, **env_config: Any) -> TeamEnvRunner:
    config = runner_config(TEAMS, env_config).env_runners(num_envs_per_env_runner=num_envs).debugging(seed=seed)
    return TeamEnvRunner(config=config.callbacks(list(callbacks)), worker_index=1)


@pytest.mark.parametrize("cut", [False, True])
def test_episodes_of_two_teams_with_death_late_arrival_and_turns(cut: bool):
    episodes = make_runner(num_envs=2, cut=cut).sample(num_episodes=4)
    assert len(episodes) == 4
    for episode in episodes:
        early, rest = episode.agent_episodes["early"], episode.agent_episodes["rest"]
        assert (len(early), early.is_terminated, early.is_truncated) == (2, True, False)
        assert early.get_observations(-1)[columns.ENDED].tolist() == [1, 1]
        assert (len(rest), rest.is_terminated, rest.is_truncated) == (LENGTH, not cut, cut)
        seen = rest.get_observations()
        steps = np.arange(LENGTH)
        late = (steps >= 3).astype(int)
        expected = np.stack([late, late, (steps + 1) % 2, steps % 2], axis=1)
        assert seen[columns.ALIVE][:-1].tolist() == expected.tolist()
        # Each row holds the agent's number and the step.
        agents = np.array([2, 3, 4, 5])
        assert (seen[columns.OBS][:-1, :, 0] == agents * expected).all()
        assert (seen[columns.OBS][:-1, :, 1] == steps[:, None] * expected).all()
        # Rewarded at every step, there or not.
        assert (seen[columns.REWARDS][1:] == agents + 1).all()
        assert rest.get_rewards().tolist() == [4.5] * LENGTH
        assert seen[columns.ENDED][-1].all() == (not cut)


def test_all_connectors_of_rllib_and_random_actions_work():
    runner = make_runner(num_envs=2)
    episodes = runner.sample(num_timesteps=40, random_actions=True)
    assert sum(len(episode) for episode in episodes) == 40


def test_recurrent_state_goes_on_over_chunks_but_does_not_leave_the_env_runner():
    runner = make_runner(num_envs=2, callbacks=[DropModelOutputsCallback])
    chunks = [episode for _ in range(10) for episode in runner.sample(num_timesteps=6)]
    assert any(not episode.is_done for episode in chunks)
    for episode in chunks:
        for team_episode in episode.agent_episodes.values():
            assert not team_episode.extra_model_outputs
    # Each of the two environments of a call is at the step that its state has counted.
    counts = [count for count, _ in runner.module["rest"].calls]
    expected = [[float(step), float(step)] for step in range(LENGTH)]
    assert counts[:LENGTH] == expected
    later = counts[LENGTH : 4 * LENGTH]
    assert [count for count in later if len(count) == 2] == expected * 3


def test_state_would_travel_without_the_callback():
    episodes = make_runner().sample(num_timesteps=4)
    assert "state_out" in episodes[0].agent_episodes["rest"].extra_model_outputs


def test_metrics_of_agents_and_of_the_environment():
    runner = make_runner(num_envs=2, callbacks=[TeamMetricsCallback])
    # Chunks of 4 steps an environment: what is logged must not depend on where episodes are cut.
    for _ in range(6):
        runner.sample(num_timesteps=8)
    metrics = runner.get_metrics()
    for number, agent in enumerate((*TEAMS["early"], *TEAMS["rest"])):
        assert float(metrics[AGENT_RETURNS][agent].peek()) == (number + 1) * LENGTH
    assert float(metrics[EPISODE_METRICS]["length"].peek()) == LENGTH
    assert float(metrics["agent_episode_returns_mean"]["rest"].peek()) == 4.5 * LENGTH


def counts(runner: TeamEnvRunner) -> dict[str, Any]:
    for _ in range(3):
        runner.sample(num_timesteps=10)
    return {
        name: tree.map_structure(lambda stats: float(stats.peek()), value)
        for name, value in runner.get_metrics().items()
        if name.startswith("num_")
    }


def test_steps_and_episodes_are_counted_as_rllib_counts_them(monkeypatch: pytest.MonkeyPatch):
    ours = counts(make_runner(num_envs=2))
    monkeypatch.setattr(TeamEnvRunner, "_increase_sampled_metrics", MultiAgentEnvRunner._increase_sampled_metrics)
    assert ours == counts(make_runner(num_envs=2))
    assert ours["num_env_steps_sampled_lifetime"] == 30
    assert {"num_episodes", "num_agent_steps_sampled", "num_module_steps_sampled"} < ours.keys()


def test_environments_know_their_place_and_get_seeds_of_their_own():
    runner = make_runner(num_envs=3, seed=10)
    runner.sample(num_timesteps=3)
    inner = [env.unwrapped.env for env in runner.env.envs]
    assert [env.place for env in inner] == [(1, 0), (1, 1), (1, 2)]
    # The first reset is the one that TeamEnv needs to learn what the environment gives.
    assert [env.seeds for env in inner] == [[None, 11], [None, 12], [None, 13]]


def test_user_settings_of_an_evaluation_keep_the_teams():
    config = runner_config(TEAMS).evaluation(evaluation_config={"env_config": {"length": 3}})
    runner = TeamEnvRunner(config=config.get_evaluation_config_object(), worker_index=0)
    episode = runner.sample(num_episodes=1)[0]
    assert len(episode) == 3


def test_configuration_without_a_team_setup():
    with pytest.raises(ValueError, match=r"env_config\['team_env'\] must be a TeamSetup"):
        ConfiguredTeamEnv({"length": 3})


def test_bad_input_is_raised_as_it_is():
    with pytest.raises(EnvironmentDataError, match="Agent 'late_0', step 4: reward nan"):
        make_runner(fail_at=4).sample(num_timesteps=10)


def test_other_errors_are_left_to_rllib():
    runner = make_runner()
    runner.sample(num_timesteps=1)
    runner.env.envs[0].unwrapped.env.step = None
    with pytest.raises(RuntimeError) as raised:
        runner.sample(num_timesteps=10)
    assert isinstance(raised.value.__cause__, TypeError)


@pytest.fixture
def cluster():
    started = not ray.is_initialized()
    if started:
        ray.init(num_cpus=2, include_dashboard=False)
    yield
    if started:
        ray.shutdown()


def remote_group(env_config: dict[str, Any]) -> EnvRunnerGroup:
    config = runner_config(TEAMS, env_config).env_runners(
        num_env_runners=1, rollout_fragment_length=12, env_runner_cls=TeamEnvRunner
    )
    config.validate()
    return EnvRunnerGroup(config=config, env_creator=None, default_policy_class=None, local_env_runner=True)


def sample(group: EnvRunnerGroup) -> list[Any]:
    return synchronous_parallel_sample(worker_set=group, max_env_steps=12, _uses_new_env_runners=True)


@pytest.mark.usefixtures("cluster")
def test_remote_env_runners_sample_and_name_bad_input():
    group = remote_group({})
    assert [len(episode) for episode in sample(group)] == [LENGTH, LENGTH]
    raise_data_errors(group)
    group.stop()

    group = remote_group({"fail_at": 4})
    assert sample(group) == []
    with pytest.raises(EnvironmentDataError, match="Agent 'late_0', step 4: reward nan"):
        raise_data_errors(group)
    group.stop()
