"""Ends, rewards, seeds, masks and states of PettingZoo's games, in RLlib's episodes and in teams."""

from typing import Any

import numpy as np
import pytest
from ray.rllib.env.env_context import EnvContext

pytest.importorskip("pettingzoo")

import staged_games
from staged_games import BOTH, TERMINATED, TRUNCATED, Stage, Turns, played, randomly

from rllib_mamba.envs.pettingzoo import ParallelGame, PettingZooGame, TurnBasedGame, make_pettingzoo
from rllib_mamba.teams import TeamEnv, columns


def make(module: str, worker_index: int = 0, vector_index: int = 0, **settings: Any) -> PettingZooGame:
    return make_pettingzoo(module, EnvContext(settings, worker_index=worker_index, vector_index=vector_index))


def zeros(*args: Any) -> int:
    return 0


# ---------------------------------------------------------------------- ends, all at once


def test_agents_leave_and_appear():
    env = ParallelGame(
        Stage({"first": (2, TERMINATED), "second": (5, TERMINATED), "late": (4, TRUNCATED)}, begins={"late": 1})
    )
    assert env.possible_agents == ["first", "second", "late"]
    episode, given = played(env, zeros)
    agents = episode.agent_episodes
    assert {agent: len(one) for agent, one in agents.items()} == {"first": 2, "second": 5, "late": 3}
    assert [one.is_terminated for one in agents.values()] == [True, True, False]
    assert [one.is_truncated for one in agents.values()] == [False, False, True]
    # Rewards: the step times 1, 10 and 100.
    assert agents["first"].get_rewards() == [1, 2]
    assert agents["second"].get_rewards() == [10, 20, 30, 40, 50]
    assert agents["late"].get_rewards() == [200, 300, 400]
    assert [list(step[0]) for step in given[1:]] == [
        ["first", "second", "late"],
        ["first", "second", "late"],
        ["second", "late"],
        ["second", "late"],
        ["second"],
    ]
    assert [step[2]["__all__"] for step in given[1:]] == [False] * 4 + [True]


@pytest.mark.parametrize("turns", [False, True])
@pytest.mark.parametrize(
    ("kinds", "cut", "terminated"),
    [
        ((TERMINATED, TERMINATED), False, (True, True)),
        ((TRUNCATED, TRUNCATED), True, (False, False)),
        ((TERMINATED, TRUNCATED), True, (True, False)),
        ((BOTH, BOTH), False, (True, True)),
    ],
)
def test_the_episode_ends_however_its_agents_do(
    turns: bool, kinds: tuple[str, str], cut: bool, terminated: tuple[bool, bool]
):
    if turns:
        env: PettingZooGame = TurnBasedGame(Turns(2, {number: (4, kind) for number, kind in enumerate(kinds)}))
    else:
        env = ParallelGame(Stage({f"agent_{number}": (4, kind) for number, kind in enumerate(kinds)}))
    episode, given = played(env, zeros)
    assert len(given) == 5
    assert (given[-1][2]["__all__"], given[-1][3]["__all__"]) == (not cut, cut)
    assert (episode.is_terminated, episode.is_truncated) == (not cut, cut)
    # What an algorithm goes by when it decides whether there would have been rewards to come.
    assert tuple(episode.agent_episodes[f"agent_{number}"].is_terminated for number in (0, 1)) == terminated
    team = TeamEnv(env, {"team": env.possible_agents})
    observations, _ = team.reset()
    for _ in range(4):
        observations, _, terminateds, truncateds, _ = team.step({"team": np.zeros(2, int)})
    assert (terminateds["__all__"], truncateds["__all__"]) == (not cut, cut)
    assert tuple(observations["team"][columns.ENDED].astype(bool)) == terminated


def test_those_that_have_ended_are_not_heard_of_again():
    env = ParallelGame(Stage({"first": (1, TERMINATED), "second": (3, TRUNCATED)}, reports_ended=True))
    _, given = played(env, zeros)
    for part in range(5):
        assert "first" in given[1][part]
        assert all("first" not in step[part] for step in given[2:])


def test_nobody_comes_back():
    env = ParallelGame(Stage({"first": (1, TERMINATED), "second": (9, TRUNCATED)}, returns="first"))
    with pytest.raises(ValueError, match="'first', which had ended in an earlier step"):
        played(env, zeros)


# ---------------------------------------------------------------------- turns


def as_pettingzoo_gives_it(game: Any, actions: list[Any], seed: int) -> list[tuple[str, float]]:
    """Whose turn it is and what it receives, in PettingZoo's own loop."""
    game.reset(seed=seed)
    remaining = iter(actions)
    received = []
    for agent in game.agent_iter():
        _, reward, terminated, truncated, _ = game.last()
        received.append((agent, float(reward)))
        game.step(None if terminated or truncated else next(remaining))
    return received


@pytest.mark.parametrize(
    "game",
    [
        lambda: Turns(3, {0: (7, TERMINATED), 1: (7, TRUNCATED), 2: (4, TERMINATED)}),
        lambda: Turns(3, {0: (2, TERMINATED), 1: (6, TERMINATED), 2: (3, TRUNCATED)}),
        lambda: pytest.importorskip("pettingzoo.classic.tictactoe_v3").env(),
        lambda: pytest.importorskip("pettingzoo.classic.leduc_holdem_v4").env(),
        lambda: pytest.importorskip("mpe2.simple_adversary_v3").env(max_cycles=4),
    ],
)
def test_rewards_of_turns_are_those_of_pettingzoo(game: Any):
    env = TurnBasedGame(game())
    choose = randomly(env)
    actions: list[Any] = []

    def remember(*args: Any) -> Any:
        actions.append(choose(*args))
        return actions[-1]

    episode, given = played(env, remember, seed=3)
    received = [(agent, reward) for step in given[1:] for agent, reward in step[1].items()]
    # The first one has received nothing when it acts.
    expected = as_pettingzoo_gives_it(game(), actions, seed=3)
    assert expected[0][1] == 0
    assert received == expected[1:]
    assert any(reward for _, reward in received)
    for step in given[1:-1]:
        ended = [agent for flags in step[2:4] for agent, flag in flags.items() if flag]
        assert len(set(step[0]) - set(ended)) == 1
    # RLlib counts what follows an agent's first action.
    for agent, one in episode.agent_episodes.items():
        mine = [reward for other, reward in expected if other == agent]
        assert one.get_return() == pytest.approx(sum(mine[1:]))


def test_a_team_receives_every_reward_of_a_game_of_turns():
    moves = 7
    env = TurnBasedGame(Turns(3, {0: (moves, TERMINATED), 1: (5, TERMINATED), 2: (moves, TERMINATED)}))
    team = TeamEnv(env, {"team": env.possible_agents}, reward="sum")
    observations, _ = team.reset()
    alive, total = [observations["team"][columns.ALIVE].tolist()], np.zeros(3)
    over = False
    while not over:
        observations, _, terminateds, _, _ = team.step({"team": np.zeros(3, int)})
        alive.append(observations["team"][columns.ALIVE].tolist())
        total += observations["team"][columns.REWARDS]
        over = terminateds["__all__"]
    # Moves 1 to 7, and only the first five for the agent in the middle.
    assert total.tolist() == [28, 150, 2800]
    assert team.agent_returns == {"agent_0": 28, "agent_1": 150, "agent_2": 2800}
    assert alive == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 0, 0]]


def test_an_action_of_somebody_else():
    env = TurnBasedGame(Turns(2, {0: (3, TERMINATED), 1: (3, TERMINATED)}))
    env.reset()
    with pytest.raises(ValueError, match="It is the turn of 'agent_0'"):
        env.step({"agent_1": 0})


# ---------------------------------------------------------------------- masks, infos, states


def test_masks_in_the_infos_of_those_that_wait():
    env = TurnBasedGame(Turns(2, {0: (3, TERMINATED), 1: (3, TERMINATED)}, masks=True))
    team = TeamEnv(env, {"one": ["agent_0"], "other": ["agent_1"]})
    observations, _ = team.reset()
    assert observations["one"][columns.ACTION_MASK].tolist() == [[1, 0, 1]]
    assert observations["other"][columns.ACTION_MASK].tolist() == [[1, 1, 1]]
    observations = team.step({"one": [0], "other": [0]})[0]
    assert observations["other"][columns.ACTION_MASK].tolist() == [[1, 0, 1]]


def test_masks_in_dicts():
    env = make("classic.tictactoe_v3")
    team = TeamEnv(env, {"team": env.possible_agents})
    team.reset()
    observations = team.step({"team": np.array([4, 0])})[0]
    assert observations["team"][columns.ACTION_MASK].tolist() == [[1] * 9, [1, 1, 1, 1, 0, 1, 1, 1, 1]]
    assert observations["team"][columns.OBS].shape == (2, 18)


def test_infos_stay_as_they_were():
    env = ParallelGame(Stage({"only": (3, TERMINATED)}, masks=True))
    _, given = played(env, zeros)
    assert [step[-1]["only"]["time"] for step in given] == [0, 1, 2, 3]


def test_global_state():
    env = make("mpe2.simple_spread_v3", N=2)
    observations, _ = env.reset(seed=0)
    np.testing.assert_array_equal(env.state(), np.concatenate(list(observations.values())))
    team = TeamEnv(env, {"team": env.possible_agents})
    observations, _ = team.reset()
    assert observations["team"][columns.STATE].shape == (24,)


@pytest.mark.parametrize("module", ["classic.rps_v2", "classic.tictactoe_v3", "butterfly.cooperative_pong_v6"])
def test_no_global_state(module: str):
    pytest.importorskip(f"pettingzoo.{module}")
    env = make(module)
    env.reset()
    with pytest.raises(NotImplementedError):
        env.state()


# ---------------------------------------------------------------------- seeds, arguments, pictures


def first_observations(env: PettingZooGame, *seeds: int | None) -> list[Any]:
    return [np.concatenate(list(env.reset(seed=seed)[0].values())).tolist() for seed in seeds]


def test_seeds():
    name = "mpe2.simple_spread_v3"
    stream = first_observations(make(name, seed=1), None, None)
    assert stream == first_observations(make(name, seed=1), None, None)
    assert stream[0] != stream[1]
    others = [make(name, seed=2), make(name, seed=1, worker_index=1), make(name, seed=1, vector_index=1)]
    for env in (*others, make(name)):
        assert first_observations(env, None)[0] not in stream
    env = make(name, seed=1)
    assert first_observations(env, 5, None, 6) == first_observations(env, 5, None, 6)
    # The seed of a reset is the game's own.
    game = pytest.importorskip(name).parallel_env()
    assert first_observations(env, 5) == [np.concatenate(list(game.reset(seed=5)[0].values())).tolist()]


@pytest.mark.parametrize(("seed", "error"), [("a", TypeError), (True, TypeError), (-1, ValueError)])
def test_bad_seed(seed: Any, error: type[Exception]):
    with pytest.raises(error, match="seed must be"):
        make("mpe2.simple_spread_v3", seed=seed)


def test_keyword_arguments():
    env = make("mpe2.simple_spread_v3", N=5, max_cycles=2)
    assert len(env.possible_agents) == 5
    assert len(played(env, zeros)[1]) == 3


@pytest.mark.parametrize(
    ("module", "settings", "message"),
    [
        (
            "mpe2.simple_spread_v3",
            {"max_cycle": 3},
            r"no argument 'max_cycle'\. Did you mean 'max_cycles'\?.*local_ratio",
        ),
        ("classic.tictactoe_v3", {"sed": 3}, "Did you mean 'seed'"),
        # Games that pass everything on do not say what they take.
        ("sisl.pursuit_v5", {"max_cycle": 3}, "does not take one of its arguments: .*'max_cycle'"),
        ("staged_games", {"endings": {}}, "Did you mean 'ends'"),
    ],
)
def test_unknown_keyword_argument(module: str, settings: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        make(module, **settings)


def test_pictures_without_a_screen(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    env = make("mpe2.simple_spread_v3", render_mode="rgb_array")
    env.reset(seed=0)
    frame = env.render()
    assert (frame.shape, frame.dtype, env.render_mode) == ((700, 700, 3), np.uint8, "rgb_array")
    assert len(np.unique(frame.reshape(-1, 3), axis=0)) > 2
    env.close()


# ---------------------------------------------------------------------- modules


def test_a_module_of_the_user():
    env = make(staged_games.__name__, ends={"only": (2, TERMINATED)})
    assert isinstance(env, ParallelGame)
    assert env.possible_agents == ["only"]


def test_agents_that_are_not_named_beforehand():
    game = Stage({"only": (2, TERMINATED)})
    game.possible_agents = []
    with pytest.raises(ValueError, match="possible_agents"):
        ParallelGame(game)


@pytest.mark.parametrize(
    ("source", "module", "error", "message"),
    [
        ("", "empty_game", ValueError, "empty_game has neither `parallel_env` nor `env`"),
        ("import not_there", "needy_game", ImportError, "needs the package 'not_there'"),
        (None, "butterfly.pistonball_v5", ValueError, "Did you mean 'pettingzoo:butterfly.pistonball_v6'"),
        (None, "simple_spread_v3", ValueError, "Did you mean 'pettingzoo:mpe2.simple_spread_v3'"),
        (None, "nowhere.game", ValueError, r"no module pettingzoo\.nowhere\.game and no module nowhere\.game"),
    ],
)
def test_unusable_module(
    source: str | None,
    module: str,
    error: type[Exception],
    message: str,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
):
    if source is not None:
        (tmp_path / f"{module}.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(error, match=message):
        make(module)


def test_without_pettingzoo(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "pettingzoo", None)
    with pytest.raises(ImportError, match=r'needs PettingZoo.*pip install "rllib-mamba\[pettingzoo\]"'):
        make("mpe2.simple_spread_v3")
