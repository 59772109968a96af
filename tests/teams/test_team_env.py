from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from scripted import ScriptedEnv, result, vector

from rllib_mamba.teams import TeamEnv, columns
from rllib_mamba.teams.errors import EnvironmentDataError

ONE_TEAM = {"team": ("a", "b")}


def run(script: list[tuple[Any, ...]], teams: dict[str, tuple[str, ...]] | None = None, **kwargs: Any) -> list[Any]:
    """All results of an environment with this script under zero actions; a reset has the form of a step."""
    teams = teams or ONE_TEAM
    agents = tuple(agent for members in teams.values() for agent in members)
    env = TeamEnv(ScriptedEnv(*script, agents=agents, **kwargs), teams)
    observations, infos = env.reset()
    results = [(observations, {}, {}, {}, infos)]
    for _ in script[1:]:
        actions = {team: np.zeros(len(teams[team]), np.int64) for team in results[-1][0]}
        results.append(env.step(actions))
        for team, observation in results[-1][0].items():
            assert env.observation_spaces[team].contains(observation)
    return results


def test_rows_follow_the_order_of_the_team_and_actions_find_their_agents():
    inner = ScriptedEnv(result({"a": 1, "b": 2}), result({"a": 3, "b": 4}, {"a": 1.0, "b": 4.0}))
    env = TeamEnv(inner, {"team": ("b", "a")})
    first, _ = env.reset()
    assert first["team"][columns.OBS].tolist() == [[2, 2], [1, 1]]
    assert first["team"][columns.REWARDS].tolist() == [0, 0]
    observations, rewards, terminateds, truncateds, _ = env.step({"team": np.array([2, 1])})
    assert inner.received == [{"b": 2, "a": 1}]
    assert all(type(action) is int for action in inner.received[0].values())
    assert observations["team"][columns.REWARDS].tolist() == [4, 1]
    assert rewards == {"team": 2.5}
    assert not terminateds["__all__"]
    assert not truncateds["__all__"]
    # RLlib keeps what it was given.
    assert first["team"][columns.OBS].tolist() == [[2, 2], [1, 1]]


def test_team_reward_is_the_mean_over_all_members_or_their_sum():
    script = [
        result({"a": 1, "b": 1}),
        result({"a": 1}, {"a": 1.0, "b": 4.0}, terminated=("b",)),
        result({"a": 1}, {"a": 1.0}),
    ]
    for reward, expected in (("mean", [2.5, 0.5]), ("sum", [5.0, 1.0])):
        env = TeamEnv(ScriptedEnv(*script), ONE_TEAM, reward)
        env.reset()
        assert [env.step({"team": [0, 0]})[1]["team"] for _ in range(2)] == expected


def test_agent_that_dies_is_ended_for_good_and_still_rewarded():
    script = [
        result({"a": 1, "b": 1}),
        result({"a": 2, "b": 2}, terminated=("b",)),
        result({"a": 3}, {"b": 5.0}),
    ]
    inner = ScriptedEnv(*script)
    env = TeamEnv(inner, ONE_TEAM)
    env.reset()
    died, *_ = env.step({"team": [1, 1]})
    assert died["team"][columns.OBS].tolist() == [[2, 2], [0, 0]]
    assert died["team"][columns.ALIVE].tolist() == [1, 0]
    assert died["team"][columns.ENDED].tolist() == [0, 1]
    later, rewards, *_ = env.step({"team": [1, 1]})
    assert inner.received[-1] == {"a": 1}
    assert later["team"][columns.ENDED].tolist() == [0, 1]
    assert later["team"][columns.REWARDS].tolist() == [0, 5]
    assert rewards["team"] == 2.5
    assert env.agent_returns == {"a": 0.0, "b": 5.0}


def test_agents_that_wait_or_come_late_are_rows_that_are_not_alive():
    script = [result({"a": 1}), result({"b": 2}, {"a": 1.0}), result({}), result({"a": 3, "b": 3})]
    results = run(script)
    assert [step[0]["team"][columns.ALIVE].tolist() for step in results] == [[1, 0], [0, 1], [0, 0], [1, 1]]
    assert not any(step[0]["team"][columns.ENDED].any() for step in results)
    assert results[1][0]["team"][columns.REWARDS].tolist() == [1, 0]


def test_sizes_that_differ_are_padded_and_masked():
    box = gym.spaces.Box(-1, 1, (4,), np.float32)
    spaces, actions = {"b": box}, {"a": gym.spaces.Discrete(2), "b": gym.spaces.Discrete(5, start=10)}
    inner = ScriptedEnv(result({"a": 1, "b": vector(2, 4)}), result({"a": 1}), spaces=spaces, actions=actions)
    env = TeamEnv(inner, ONE_TEAM)
    first, _ = env.reset()
    assert env.action_spaces["team"] == gym.spaces.MultiDiscrete([5, 5])
    assert first["team"][columns.OBS].tolist() == [[1, 1, 0, 0], [2, 2, 2, 2]]
    assert first["team"][columns.ACTION_MASK].tolist() == [[1, 1, 0, 0, 0], [1, 1, 1, 1, 1]]
    second, *_ = env.step({"team": [3, 4]})
    # 3 is no action of "a": it counts modulo 2.
    assert inner.received == [{"a": 1, "b": 14}]
    assert second["team"][columns.ACTION_MASK].tolist() == [[1, 1, 0, 0, 0], [1, 1, 1, 1, 1]]


@pytest.mark.parametrize("key", ["observation", "observations", "obs"])
def test_action_mask_beside_the_observation(key: str):
    box = gym.spaces.Box(-1, 1, (2,), np.float32)
    space = gym.spaces.Dict({key: box, "action_mask": gym.spaces.MultiBinary(3)})
    seen = {agent: {key: vector(1), "action_mask": np.array([0, 1, 1])} for agent in "ab"}
    (observations, *_), (later, *_) = run([result(seen), result({"a": seen["a"]})], spaces={"a": space, "b": space})
    assert observations["team"][columns.OBS].tolist() == [[1, 1], [1, 1]]
    assert observations["team"][columns.ACTION_MASK].tolist() == [[0, 1, 1], [0, 1, 1]]
    assert later["team"][columns.ACTION_MASK].tolist() == [[0, 1, 1], [1, 1, 1]]


def test_action_mask_in_infos_of_some_agents_and_steps():
    mask = {"a": {"action_mask": np.array([True, False, False])}}
    results = run([result({"a": 1, "b": 1}, infos=mask), result({"a": 1, "b": 1})])
    assert results[0][0]["team"][columns.ACTION_MASK].tolist() == [[1, 0, 0], [1, 1, 1]]
    assert results[1][0]["team"][columns.ACTION_MASK].tolist() == [[1, 1, 1], [1, 1, 1]]


def test_nothing_optional_where_the_environment_gives_nothing():
    observations, *_ = run([result({"a": 1, "b": 1})])[0]
    assert set(observations["team"]) == {columns.OBS, columns.ALIVE, columns.ENDED, columns.REWARDS}


def test_comm_mask_of_all_agents_is_cut_to_each_team():
    matrix = np.array([[0, 0, 1], [0, 0, 0], [0, 1, 0]])
    script = [
        result({"a": 1, "b": 1, "c": 1}, infos={"__common__": {"comm_mask": matrix}}),
        result({"a": 1, "b": 1, "c": 1}),
    ]
    env = TeamEnv(ScriptedEnv(*script, agents=("a", "b", "c")), {"one": ("c", "a"), "two": ("b",)})
    first, _ = env.reset()
    # c does not hear a, a hears c, and everyone hears itself.
    assert first["one"][columns.COMM_MASK].tolist() == [[1, 0], [1, 1]]
    assert first["two"][columns.COMM_MASK].tolist() == [[1]]
    second, *_ = env.step({"one": [0, 0], "two": [0]})
    assert second["one"][columns.COMM_MASK].tolist() == [[1, 1], [1, 1]]


def test_comm_mask_rows_in_infos():
    results = run([result({"a": 1, "b": 1}, infos={"a": {"comm_mask": np.array([1, 0])}})])
    assert results[0][0]["team"][columns.COMM_MASK].tolist() == [[1, 0], [1, 1]]


def test_state_from_infos_and_from_the_state_method():
    state = np.arange(4).reshape(2, 2)
    results = run([result({"a": 1}, infos={"__common__": {"state": state}})])
    assert results[0][0]["team"][columns.STATE].tolist() == [0, 1, 2, 3]

    class WithState(ScriptedEnv):
        def state(self) -> np.ndarray:
            return np.array([7.0])

    env = TeamEnv(WithState(result({"a": 1})), ONE_TEAM)
    assert env.reset()[0]["team"][columns.STATE].tolist() == [7]

    class WithoutState(ScriptedEnv):
        def state(self) -> np.ndarray:
            raise NotImplementedError

    assert columns.STATE not in TeamEnv(WithoutState(result({"a": 1})), ONE_TEAM).reset()[0]["team"]


TWO_TEAMS = {"one": ("a", "b"), "two": ("c",)}


def ends(script: list[tuple[Any, ...]]) -> list[tuple[dict[str, bool], dict[str, bool]]]:
    """Flags of all steps, only those that are set."""
    results = run([result({"a": 0, "b": 0, "c": 0}), *script], TWO_TEAMS)
    return [tuple({key for key, flag in flags.items() if flag} for flags in step[2:4]) for step in results[1:]]


def test_team_of_which_all_have_terminated_leaves_while_the_other_goes_on():
    script = [
        result({"a": 1, "c": 1}, terminated=("b",)),
        result({"c": 2}, {"a": 1.0}, terminated=("a",)),
        result({"c": 3}, {"a": 9.0, "c": 1.0}),
        result({"c": 4}, terminated=("__all__",)),
    ]
    assert ends(script) == [(set(), set()), ({"one"}, set()), (set(), set()), ({"two", "__all__"}, set())]
    results = run([result({"a": 0, "b": 0, "c": 0}), *script], TWO_TEAMS)
    assert results[2][0]["one"][columns.ENDED].tolist() == [1, 1]
    assert results[2][1] == {"one": 0.5, "two": 0.0}
    for step in results[3:]:
        assert all("one" not in part for part in step)


def test_team_with_a_truncated_member_is_truncated():
    assert ends([result({"c": 1}, terminated=("a",), truncated=("b",))]) == [(set(), {"one"})]


def test_episode_without_the_all_flag_ends_with_its_last_agent():
    # PettingZoo knows no such flag, and RLlib's wrapper sets it only when all ends are of one kind.
    assert ends([result({}, terminated=("a", "c"), truncated=("b",))]) == [({"two"}, {"__all__"})]
    assert ends([result({}, terminated=("a", "b", "c"))]) == [({"one", "two", "__all__"}, set())]


def test_end_of_the_episode_terminates_those_that_live_wait_or_never_came():
    last = run([result({"a": 0}), result({"a": 1}, terminated=("__all__",))])[-1]
    assert last[0]["team"][columns.ENDED].tolist() == [1, 1]
    assert last[0]["team"][columns.ALIVE].tolist() == [0, 0]
    assert last[2] == {"team": True, "__all__": True}


@pytest.mark.parametrize("truncated", [("__all__",), ("a", "b"), ("a", "b", "__all__")])
def test_time_limit_leaves_the_last_observation_and_ends_nobody(truncated: tuple[str, ...]):
    last = run([result({"a": 0, "b": 0}), result({"a": 1, "b": 2}, truncated=truncated)])[-1]
    assert last[0]["team"][columns.OBS].tolist() == [[1, 1], [2, 2]]
    assert last[0]["team"][columns.ALIVE].tolist() == [1, 1]
    assert last[0]["team"][columns.ENDED].tolist() == [0, 0]
    # A flag for the team would make RLlib call this a termination.
    assert last[2] == {"team": False, "__all__": False}
    assert last[3] == {"team": False, "__all__": True}


def test_agent_that_alone_runs_out_of_time_is_neither_alive_nor_ended():
    script = [result({"a": 0, "b": 0}), result({"a": 1, "b": 1}, truncated=("b",)), result({"a": 2})]
    script.append(result({"a": 3}, terminated=("a",)))
    results = run(script)
    assert [step[0]["team"][columns.ALIVE].tolist() for step in results] == [[1, 1], [1, 0], [1, 0], [0, 0]]
    assert results[-1][0]["team"][columns.ENDED].tolist() == [1, 0]
    assert results[-1][3]["__all__"]


def test_agents_reported_as_done_again_and_again_are_no_error():
    script = [result({"a": 0, "b": 0}), *[result({"a": 1, "b": 1}, terminated=("b",))] * 2]
    assert run(script)[-1][0]["team"][columns.ALIVE].tolist() == [1, 0]


def test_infos_and_episode_metrics():
    script = [
        result({"a": 0, "c": 0}, infos={"a": {"x": 1}}),
        result({"a": 0, "c": 0}, terminated=("__all__",), infos={"__common__": {"episode_metrics": {"arrived": 0.5}}}),
    ]
    env = TeamEnv(ScriptedEnv(*script, agents=("a", "b", "c")), TWO_TEAMS)
    _, infos = env.reset()
    assert infos == {"one": {"agents": {"a": {"x": 1}}}, "two": {"agents": {}}}
    *_, infos = env.step({"one": [0, 0], "two": [0]})
    assert infos == {team: {"agents": {}, "episode_metrics": {"arrived": 0.5}} for team in TWO_TEAMS}
    assert env.episode_metrics == {"arrived": 0.5}
    env.reset()
    assert env.episode_metrics == {}


def test_environment_that_shows_an_example_is_not_reset_when_it_is_wrapped():
    class Expensive(ScriptedEnv):
        def example_reset(self) -> tuple[Any, Any]:
            return self.script[0][0], self.script[0][-1]

    inner = Expensive(
        result({"a": 1, "b": 1}, infos={"a": {"action_mask": np.array([1, 0, 1])}, "__common__": {"state": [3.0, 4.0]}})
    )
    env = TeamEnv(inner, ONE_TEAM)
    assert inner.resets == []
    observations, _ = env.reset()
    assert observations["team"][columns.ACTION_MASK].tolist() == [[1, 0, 1], [1, 1, 1]]
    assert observations["team"][columns.STATE].tolist() == [3, 4]


def test_reset_render_and_close_reach_the_environment():
    class Rendered(ScriptedEnv):
        metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012 (gymnasium declares it so)
        closed = False

        def render(self) -> str:
            return "picture"

        def close(self) -> None:
            self.closed = True

    inner = Rendered(result({"a": 0}))
    inner.render_mode = "rgb_array"
    env = TeamEnv(inner, ONE_TEAM)
    env.reset(seed=3, options={"map": 1})
    assert inner.resets[-1] == (3, {"map": 1})
    assert (env.render(), env.render_mode, env.metadata) == ("picture", "rgb_array", Rendered.metadata)
    env.close()
    assert inner.closed
    env.metadata["autoreset_mode"] = "next_step"
    assert "autoreset_mode" not in Rendered.metadata


def test_second_episode_begins_afresh():
    env = TeamEnv(
        ScriptedEnv(result({"a": 0, "b": 0}), result({"a": 1}, {"a": 1.0}, terminated=("__all__",))), ONE_TEAM
    )
    for _ in range(2):
        observations, _ = env.reset()
        assert observations["team"][columns.ALIVE].tolist() == [1, 1]
        assert observations["team"][columns.ENDED].tolist() == [0, 0]
        assert env.agent_returns == {"a": 0.0, "b": 0.0}
        assert env.step({"team": [0, 0]})[2]["__all__"]


# ---------------------------------------------------------------------- bad input

GOOD = result({"a": 0, "b": 0})
MASKED = result({"a": 0, "b": 0}, infos={"b": {"action_mask": np.ones(3)}})
HEARING = result({"a": 0, "b": 0}, infos={"__common__": {"comm_mask": np.ones((2, 2)), "state": np.zeros(3)}})


def hearing(**common: Any) -> tuple[Any, ...]:
    whole = {"comm_mask": np.ones((2, 2)), "state": np.zeros(3), **common}
    return result({"a": 0, "b": 0}, infos={"__common__": whole})


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ([GOOD, result({"b": np.array([0, np.nan])})], "'b', step 1: observation nan: at index 1"),
        ([GOOD, result({"b": np.array([np.inf, 0])})], "'b', step 1: observation inf"),
        ([GOOD, result({"a": 0, "b": vector(0, 3)})], r"'b', step 1: observation .*Box.*\(3,\)"),
        ([GOOD, result({"a": None})], "'a', step 1: observation None"),
        ([GOOD, result({"x": 0})], "Step 1: ScriptedEnv gave an observation for the unknown agent 'x'.*'a', 'b'"),
        ([GOOD, result({}, {"x": 2.0})], "Step 1: ScriptedEnv gave the reward 2.0 for the unknown agent 'x'"),
        ([GOOD, result({}, terminated=("x",))], "Step 1: .* an end for the unknown agent 'x'"),
        ([GOOD, GOOD, result({"a": 0}, {"a": float("nan")})], "'a', step 2: reward nan"),
        ([GOOD, result({"a": 0}, {"b": np.float32("-inf")})], "'b', step 1: reward -inf"),
        ([GOOD, result({"a": 0}, {"b": "one"})], "'b', step 1: reward 'one'"),
        (
            [MASKED, result({"b": 0}, infos={"b": {"action_mask": np.zeros(3)}})],
            r"'b', step 1: action_mask \[0, 0, 0\]",
        ),
        (
            [MASKED, result({"b": 0}, infos={"b": {"action_mask": np.ones(4)}})],
            r"'b', step 1: action_mask .*shape \(3,\)",
        ),
        ([GOOD, MASKED], "'b', step 1: action_mask .*none at the first reset"),
        ([GOOD, HEARING], "Step 1 has a comm_mask, but there was none"),
        ([HEARING, hearing(comm_mask=np.ones((3, 3)))], r"comm_mask of step 1 has the shape \(3, 3\).*\(2, 2\)"),
        ([HEARING, hearing(state=np.zeros(2))], "Step 1: the global state has 2 numbers.*had 3"),
        ([HEARING, hearing(state=None)], "Step 1: the global state has None numbers"),
        ([HEARING, hearing(state=np.array([0, np.nan, 0]))], "Step 1: the global state .*nan"),
        (
            [GOOD, result({"a": 0}, terminated=("b",)), result({"b": 0})],
            "'b', step 2: observation .*ended in an earlier",
        ),
        ([result({"a": 0, "b": np.array([0, np.nan])})], "'b', step 0: observation nan"),
    ],
)
def test_bad_input_is_named(script: list[tuple[Any, ...]], message: str):
    with pytest.raises(ValueError, match=message):
        run(script)


def test_row_of_a_comm_mask_of_the_wrong_length():
    with pytest.raises(ValueError, match=r"'a', step 0: comm_mask .*shape \(2,\)"):
        run([result({"a": 0}, infos={"a": {"comm_mask": np.ones(3)}})])


def test_no_legal_action_is_no_matter_when_the_agent_does_not_act_any_more():
    none = {"b": {"action_mask": np.zeros(3)}}
    script = [MASKED, result({"a": 0}, infos=none), result({"a": 0, "b": 0}, terminated=("__all__",), infos=none)]
    assert run(script)[-1][2]["__all__"]


@pytest.mark.parametrize(
    ("teams", "message"),
    [
        ({"team": ("a",)}, r"agents in no team: \['b'\]"),
        ({"team": ("a", "b", "x")}, r"unknown agents: \['x'\]"),
        ({"team": ("a", "b"), "other": ("a",)}, r"agents in more than one place: \['a'\]"),
        ({"team": ("a", "b"), "other": ()}, r"teams without members: \['other'\]"),
    ],
)
def test_teams_that_do_not_fit(teams: dict[str, tuple[str, ...]], message: str):
    with pytest.raises(ValueError, match=message):
        TeamEnv(ScriptedEnv(GOOD), teams)


def test_unknown_team_reward():
    with pytest.raises(ValueError, match=r"'mean', 'sum'.*'max'"):
        TeamEnv(ScriptedEnv(GOOD), ONE_TEAM, "max")


@pytest.mark.parametrize("ends_the_run", [True, False])
def test_environment_that_cannot_go_on_says_so(ends_the_run: bool):
    class BrokenError(Exception):
        pass

    class Broken(ScriptedEnv):
        def step(self, action_dict: dict[str, int]) -> Any:
            error = BrokenError("out of order")
            error.ends_the_run = ends_the_run
            raise error

    env = TeamEnv(Broken(result({"a": 0, "b": 0})), ONE_TEAM)
    env.reset()
    with pytest.raises(EnvironmentDataError if ends_the_run else BrokenError, match="out of order"):
        env.step({"team": [0, 0]})


def test_environment_that_is_not_a_multi_agent_env():
    with pytest.raises(TypeError, match=r"CartPole.*not an RLlib MultiAgentEnv.*make_multi_agent"):
        TeamEnv(gym.make("CartPole-v1").unwrapped, {"team": (0,)})
