"""SMAC's battles, against what stands in for the game."""

import copy
import gc
import logging
import sys
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from installed_starcraft import StarCraft
from ray.rllib.env.env_context import EnvContext

from rllib_mamba.registry import make_environment
from rllib_mamba.teams import TeamEnv, columns

Make = Callable[..., Any]

NO_OPERATION, STOP, FIRST_ATTACK = 0, 1, 6
SMACV2 = {
    "map_name": "10gen_terran",
    "capability_config": {
        "n_units": 5,
        "n_enemies": 6,
        "team_gen": {
            "dist_type": "weighted_teams",
            "unit_types": ["marine", "marauder", "medivac"],
            "weights": [0.45, 0.45, 0.1],
            "observe": True,
        },
    },
}


@dataclass
class Battle:
    """All that came of a battle; a step's result as `step` gives it, the reset's with nothing between."""

    results: list[Any] = field(default_factory=list)
    actions: list[dict[str, int]] = field(default_factory=list)

    @property
    def last(self) -> Any:
        return self.results[-1]

    @property
    def common(self) -> dict[str, Any]:
        return self.last[-1]["__common__"]


def fight(mask: np.ndarray) -> int:
    """Attacks where it can, otherwise stops."""
    return int(np.flatnonzero(mask)[-1]) if mask[FIRST_ATTACK:].any() else STOP


def wait(mask: np.ndarray) -> int:
    return STOP


def living(result: Any) -> list[str]:
    observations, _, terminateds, truncateds, _ = result
    return [agent for agent in observations if not terminateds.get(agent) and not truncateds.get(agent)]


def play(env: Any, choose: Callable[[np.ndarray], int] = fight, seed: int | None = None, steps: int = 1000) -> Battle:
    observations, infos = env.reset(seed=seed)
    battle = Battle([(observations, {}, {}, {}, infos)])
    while len(battle.actions) < steps:
        infos = battle.last[-1]
        battle.actions.append({agent: choose(infos[agent]["action_mask"]) for agent in living(battle.last)})
        battle.results.append(env.step(battle.actions[-1]))
        if battle.last[2]["__all__"] or battle.last[3]["__all__"]:
            break
    return battle


@pytest.fixture
def limits(starcraft: StarCraft, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The parameters of the maps, of which this test has its own."""
    from smac.env.starcraft2.maps import smac_maps

    own = copy.deepcopy(smac_maps.map_param_registry)
    monkeypatch.setattr(smac_maps, "map_param_registry", own)
    return own


# ---------------------------------------------------------------------- what agents get


@pytest.mark.parametrize(
    "options",
    [
        {"map_name": "2s3z"},
        {"map_name": "MMM", "obs_timestep_number": True, "state_timestep_number": True},
        {"map_name": "2m_vs_1z", "obs_timestep_number": True, "obs_instead_of_state": True, "obs_last_action": True},
        {**SMACV2, "obs_timestep_number": True},
    ],
)
def test_everything_has_the_announced_form(make: Make, options: dict[str, Any]):
    env = make(**options)
    example, example_infos = env.example_reset()
    assert list(example) == env.possible_agents
    battle = play(env)
    for observations, *_, infos in [(example, example_infos), *battle.results]:
        assert infos.keys() == {*observations, "__common__"}
        assert infos["__common__"]["state"].shape == example_infos["__common__"]["state"].shape
        assert infos["__common__"]["state"].dtype == np.float32
        for agent, observation in observations.items():
            assert env.observation_spaces[agent].contains(observation)
            assert infos[agent]["action_mask"].shape == (env.action_spaces[agent].n,)
            assert infos[agent]["action_mask"].dtype == np.int8
    if options.get("obs_timestep_number"):
        times = [observations["ally_0"][-1] for observations, *_ in battle.results[:3]]
        assert times == pytest.approx([step / env.episode_limit for step in range(3)])


def test_the_dead_stay_without_a_choice_and_share_the_reward(make: Make):
    env = make()
    battle = play(env, wait, seed=4)
    assert battle.common["episode_metrics"]["dead_allies"] == 3
    dead: set[str] = set()
    counts = set()
    for result in battle.results[1:]:
        observations, rewards, terminateds, truncateds, infos = result
        assert list(observations) == list(rewards) == env.possible_agents
        assert len(set(rewards.values())) == 1
        assert not any(truncateds.values())
        assert len(set(terminateds.values())) == 1
        without_choice = {agent for agent in observations if infos[agent]["action_mask"].tolist() == [1] + [0] * 8}
        assert without_choice == {agent for agent in observations if not observations[agent].any()}
        assert dead <= without_choice
        dead = without_choice
        counts.add(len(dead))
    assert counts > {0, 3}
    assert battle.last[2]["__all__"]


def test_a_battle_that_is_won(make: Make):
    env = make(map_name="2m_vs_1z", reward_scale=False)
    # Two marines are stronger than one zealot, here.
    battle = play(env)
    _, rewards, terminateds, truncateds, _ = battle.last
    metrics = battle.common["episode_metrics"]
    assert (terminateds["__all__"], truncateds["__all__"]) == (True, False)
    assert all(terminateds.values())
    assert metrics["won"] == 1
    assert metrics["dead_enemies"] == 1
    assert metrics["episode_length"] == len(battle.actions)
    returns = sum(next(iter(result[1].values())) for result in battle.results[1:])
    assert metrics["team_return"] == pytest.approx(returns)
    # All health and shields of the zealot, its death, the victory.
    assert returns == pytest.approx(150 + 10 + 200)
    assert set(rewards.values()) == {next(iter(rewards.values()))}


@pytest.mark.parametrize("continuing", [False, True])
def test_the_limit_truncates(make: Make, starcraft: StarCraft, limits: dict[str, Any], continuing: bool):
    limits["3m"]["limit"] = 4
    env = make(continuing_episode=continuing)
    _, _, terminateds, truncateds, infos = play(env, wait).last
    assert not any(terminateds.values())
    assert truncateds == {"ally_0": False, "ally_1": False, "ally_2": False, "__all__": True}
    metrics = infos["__common__"]["episode_metrics"]
    assert (metrics["won"], metrics["timed_out"], metrics["episode_length"]) == (0, 1, 4)
    # The next one is counted by itself.
    assert play(env, wait).common["battle_statistics"]["timeouts"] == 2


def test_a_battle_decided_in_the_last_step_is_decided(make: Make, limits: dict[str, Any]):
    length = len(play(make(seed=1)).actions)
    limits["3m"]["limit"] = length
    battle = play(make(seed=1))
    assert len(battle.actions) == length
    assert (battle.last[2]["__all__"], battle.last[3]["__all__"]) == (True, False)
    assert battle.common["episode_metrics"]["timed_out"] == 0


def test_medivacs_alone_have_lost(make: Make):
    env = make(map_name="MMM")
    battle = play(env, wait)
    _, _, terminateds, truncateds, _ = battle.last
    assert battle.common["episode_metrics"]["dead_allies"] == 9
    assert terminateds["__all__"]
    assert terminateds["ally_9"]
    assert not any(truncateds.values())


def test_actions_that_are_not_legal_count_as_a_stop(make: Make):
    env, other = make(seed=3), make(seed=3)
    play(env, lambda mask: NO_OPERATION, steps=5)
    play(other, wait, steps=5)
    states = [e.step(dict.fromkeys(e.possible_agents, STOP))[-1]["__common__"]["state"] for e in (env, other)]
    np.testing.assert_array_equal(*states)
    with pytest.raises(ValueError, match=r"ally_1 needs an action from 0 to 8, got None"):
        env.step({"ally_0": 1, "ally_2": 1})
    with pytest.raises(ValueError, match=r"ally_0 needs an action from 0 to 8, got 9"):
        env.step(dict.fromkeys(env.possible_agents, 9))


def test_the_heuristic_of_smac_may_choose(make: Make):
    assert play(make(heuristic_ai=True), wait).common["state"].any()


def test_statistics_run_on_over_battles_and_games(make: Make, starcraft: StarCraft):
    env = make(map_name="2m_vs_1z")
    assert env.battle_statistics() == {
        "battles_won": 0,
        "battles_game": 0,
        "battles_draw": 0,
        "win_rate": 0,
        "timeouts": 0,
        "restarts": 0,
    }
    play(env)
    env.reset()
    starcraft.crash()
    env.step(dict.fromkeys(env.possible_agents, STOP))
    play(env, wait)
    common = play(env).common
    expected = {"battles_won": 2, "battles_game": 3, "battles_draw": 0, "timeouts": 0, "restarts": 1}
    assert common["battle_statistics"] == {**expected, "win_rate": pytest.approx(2 / 3)}
    assert common["episode_metrics"]["restarts"] == 1


# ---------------------------------------------------------------------- launches and seeds


def test_nothing_is_launched_before_the_first_reset_and_one_game_then(make: Make, starcraft: StarCraft):
    env = make()
    team_env = TeamEnv(env, {"team": env.possible_agents})
    env.example_reset()
    assert starcraft.games() == []
    observations, _ = team_env.reset(seed=3)
    [game] = starcraft.wait_for(1)
    assert team_env.observation_spaces["team"].contains(observations["team"])
    assert {columns.ACTION_MASK, columns.STATE} <= observations["team"].keys()
    # Nothing was played yet in the game with this seed.
    again, _ = team_env.reset(seed=3)
    np.testing.assert_array_equal(again["team"][columns.OBS], observations["team"][columns.OBS])
    team_env.step({"team": np.ones(3, int)})
    assert starcraft.games() == [game]
    # What began with a seed can begin so again.
    once_more, _ = team_env.reset(seed=3)
    np.testing.assert_array_equal(once_more["team"][columns.OBS], observations["team"][columns.OBS])
    assert starcraft.wait_for(1) != [game]


def test_battles_follow_each_other_in_one_game(make: Make, starcraft: StarCraft):
    env = make()
    play(env)
    games = starcraft.wait_for(1)
    play(env)
    play(env, steps=2)
    play(env, steps=2)
    assert starcraft.games() == games


def test_a_reset_within_the_first_battle_leaves_one_game(make: Make, starcraft: StarCraft):
    env = make(seed=1)
    play(env, steps=2)
    [first] = starcraft.wait_for(1)
    play(env, steps=2)
    [second] = starcraft.wait_for(1)
    assert second != first
    assert len(play(env).actions) > 2


def first_state(env: Any, seed: int | None = None) -> list[float]:
    return env.reset(seed=seed)[1]["__common__"]["state"].tolist()


@pytest.mark.parametrize("options", [{}, SMACV2])
def test_seeds(make: Make, options: dict[str, Any]):
    env = make(seed=5, **options)
    first = first_state(env)
    battle = play(env, seed=5)
    assert battle.results[0][-1]["__common__"]["state"].tolist() == first
    assert first_state(env, seed=6) != first
    second = play(env, seed=5)
    assert second.actions == battle.actions
    assert second.common["episode_metrics"]["team_return"] == battle.common["episode_metrics"]["team_return"]
    neighbours = [EnvContext({}, worker_index=1), EnvContext({}, worker_index=1, vector_index=1)]
    states = [first_state(make(context, seed=5, **options)) for context in neighbours]
    assert states[0] != states[1]
    assert first_state(make(neighbours[0], seed=5, **options)) == states[0]
    # Without a seed the games choose.
    assert first_state(make(**options)) != first_state(make(**options))


def test_smacv2_plays_the_teams_that_were_drawn(make: Make, starcraft: StarCraft, monkeypatch: pytest.MonkeyPatch):
    config = SMACV2["capability_config"]
    env = make(**SMACV2)
    assert len(env.possible_agents) == 5
    assert env.action_spaces["ally_0"].n == 6 + 6
    assert "env_key" not in config["team_gen"]
    from smacv2.env.starcraft2.starcraft2 import CannotResetException, StarCraft2Env

    reset, tries = StarCraft2Env.reset, []

    def reset_at_the_second_try(self: Any, episode_config: Any) -> Any:
        tries.append(1)
        if len(tries) % 2:
            raise CannotResetException
        return reset(self, episode_config)

    # The wrapper's own reset gives None then.
    monkeypatch.setattr(StarCraft2Env, "reset", reset_at_the_second_try)
    battles = [play(env) for _ in range(3)]
    assert env.battle_statistics()["battles_game"] == 3
    assert env.battle_statistics()["restarts"] == 0
    assert len({battle.results[0][0]["ally_0"].tobytes() for battle in battles}) > 1


# ---------------------------------------------------------------------- crashes


@pytest.mark.parametrize("battles_before", [0, 1])
def test_a_crash_truncates_the_battle_and_the_next_one_has_a_new_game(
    make: Make, starcraft: StarCraft, caplog: pytest.LogCaptureFixture, battles_before: int
):
    env = make()
    for _ in range(battles_before):
        play(env)
    seen = play(env, steps=1).last
    starcraft.crash()
    with caplog.at_level(logging.WARNING, logger="rllib_mamba"):
        observations, rewards, terminateds, truncateds, infos = env.step(dict.fromkeys(env.possible_agents, STOP))
    assert not any(terminateds.values())
    assert terminateds.keys() == truncateds.keys() == {*env.possible_agents, "__all__"}
    assert truncateds == {**dict.fromkeys(env.possible_agents, False), "__all__": True}
    assert set(rewards.values()) == {0.0}
    for agent in env.possible_agents:
        np.testing.assert_array_equal(observations[agent], seen[0][agent])
    assert "episode_metrics" not in infos["__common__"]
    assert "SC2 probably crashed" in caplog.text
    assert starcraft.games() == []
    with pytest.raises(RuntimeError, match="call reset"):
        env.step(dict.fromkeys(env.possible_agents, STOP))
    env.reset()
    starcraft.wait_for(1)
    assert play(env).common["battle_statistics"]["battles_game"] == battles_before + 1


@pytest.mark.parametrize("battles_before", [0, 1])
@pytest.mark.parametrize("call", ["observe", "join_game", "debug"])
def test_a_fault_in_reset(
    make: Make, starcraft: StarCraft, monkeypatch: pytest.MonkeyPatch, battles_before: int, call: str
):
    env = make()
    for _ in range(battles_before):
        last = play(env).last[0]
    from pysc2.lib import protocol
    from pysc2.lib.remote_controller import RemoteController

    original, calls = getattr(RemoteController, call), []

    def at_first_silent(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 1:
            raise protocol.ConnectionError("silence")
        return original(*arguments)

    monkeypatch.setattr(RemoteController, call, at_first_silent)
    observations, _ = env.reset()
    assert env.battle_statistics()["restarts"] == bool(calls)
    starcraft.wait_for(1)
    # Not what was left of the battle before.
    assert all(observation.any() for observation in observations.values())
    if battles_before:
        assert not np.array_equal(observations["ally_0"], last.get("ally_0"))
    play(env)


def test_too_many_crashes_in_a_row_end_the_run(
    make: Make, starcraft: StarCraft, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    env = make(max_crashes_in_a_row=3)

    def crash() -> Any:
        env.reset()
        starcraft.crash()
        return env.step(dict.fromkeys(env.possible_agents, STOP))

    crash()
    crash()
    # A battle in between is the end of the row.
    play(env)
    crash()
    crash()
    with pytest.raises(
        RuntimeError, match=r"crashed 3 times in a row.*ConnectionError.*max_crashes_in_a_row"
    ) as raised:
        crash()
    assert raised.value.ends_the_run
    assert len(caplog.records) == 4

    from pysc2.lib.remote_controller import RemoteController

    def mute(*arguments: Any) -> None:
        raise OSError("no memory")

    monkeypatch.setattr(RemoteController, "create_game", mute)
    with pytest.raises(RuntimeError, match="OSError: no memory"):
        make(max_crashes_in_a_row=2).reset()
    assert starcraft.games() == []


# ---------------------------------------------------------------------- the end


def test_what_is_closed_stays_closed(make: Make, starcraft: StarCraft):
    env = make()
    play(env, steps=1)
    starcraft.wait_for(1)
    env.close()
    assert starcraft.games() == []
    env.close()
    for call in (lambda: env.step(dict.fromkeys(env.possible_agents, STOP)), env.reset):
        with pytest.raises(RuntimeError, match="was closed"):
            call()
    assert starcraft.games() == []


def test_a_game_that_cannot_be_closed_is_killed(make: Make, starcraft: StarCraft, monkeypatch: pytest.MonkeyPatch):
    env = make()
    env.reset()
    starcraft.wait_for(1)
    from smac.env import StarCraft2Env

    def fail(self: Any) -> None:
        raise OSError("cannot be closed")

    monkeypatch.setattr(StarCraft2Env, "close", fail)
    env.close()
    assert starcraft.games() == []


def test_an_environment_that_is_dropped_takes_its_game_along(make: Make, starcraft: StarCraft):
    from rllib_mamba.envs.smac import SMACEnv

    env = SMACEnv({"map_name": "3m"})
    env.reset()
    starcraft.wait_for(1)
    # SMAC keeps every environment until the process ends.
    simulation = weakref.ref(env._game.simulation)
    del env
    gc.collect()
    assert starcraft.games() == []
    assert simulation() is None


# ---------------------------------------------------------------------- pictures and replays


def test_pictures(make: Make, starcraft: StarCraft):
    env = make()
    with pytest.raises(RuntimeError, match="before reset"):
        env.render()
    play(env, steps=1)
    picture = env.render()
    assert picture.shape == (512, 512, 3)
    assert picture.dtype == np.uint8
    blue, red = ((picture[..., channel] > 200).nonzero() for channel in (2, 0))
    assert len(blue[0]) > 100
    assert len(red[0]) > 100
    # The allies begin in the west.
    assert blue[1].mean() < 256 < red[1].mean()
    starcraft.crash()
    env.step(dict.fromkeys(env.possible_agents, STOP))
    np.testing.assert_array_equal(env.render(), picture)


def test_replays(make: Make, tmp_path: Path, starcraft: StarCraft):
    env = make(replay_interval=2, replay_dir=str(tmp_path / "replays"))
    with pytest.raises(RuntimeError, match="before reset"):
        env.save_replay()
    for _ in range(5):
        play(env)
    saved = sorted(path.read_text() for path in (tmp_path / "replays").iterdir())
    assert saved == ["a replay of 2 battles", "a replay of 4 battles"]
    env.save_replay()
    assert {path.name for path in (tmp_path / "replays").iterdir()} == {f"3m_0_0_{n}.SC2Replay" for n in (1, 2, 3)}
    starcraft.crash()
    with pytest.raises(RuntimeError, match="not saved: ConnectionError"):
        env.save_replay()


# ---------------------------------------------------------------------- bad configurations


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"map_nam": "3m"}, "unknown option 'map_nam'.*did you mean 'map_name'"),
        ({"replay_intervall": 1}, "did you mean 'replay_interval'"),
        ({"map_name": "3z"}, r"smac has no map '3z'.*SMACv2 need the option capability_config"),
        ({"map_name": 3}, "map_name must be a string, got 3"),
        ({"difficulty": 7}, "difficulty must be one of '1', '2'.* got 7"),
        ({"obs_last_action": 1}, "obs_last_action must be True or False, got 1"),
        ({"reward_win": "200"}, "reward_win must be a finite number, got '200'"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"seed": 0.5}, "seed must be an integer, got 0.5"),
        ({"max_crashes_in_a_row": 0}, "max_crashes_in_a_row must be at least 1, got 0"),
        ({"map_name": "10gen_terran", "capability_config": {"team_gen": {}}}, "smacv2 does not take these options"),
        ({"capability_config": {"n_units": 5, "n_enemies": 5}, "conic_fow": True}, "did you mean 'conic_fov'"),
    ],
)
def test_bad_options_are_named(make: Make, options: dict[str, Any], message: str):
    with pytest.raises((ValueError, TypeError), match=message):
        make(**options)


def test_every_argument_of_the_package_is_an_option(make: Make):
    import inspect

    from smac.env import StarCraft2Env

    defaults = {name: parameter.default for name, parameter in inspect.signature(StarCraft2Env).parameters.items()}
    assert len(defaults) == 31
    env = make(**{**defaults, "map_name": "3m"})
    assert len(play(env, steps=1).actions) == 1


def test_the_name_of_the_map_is_enough(starcraft: StarCraft):
    env = make_environment("smac_3s_vs_4z", EnvContext({"difficulty": "3"}, worker_index=0))
    assert len(env.possible_agents) == 3
    assert env.action_spaces["ally_0"].n == 10


# ---------------------------------------------------------------------- what is not installed


@pytest.fixture
def packages(starcraft: StarCraft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """Installs packages of which the texts of the files are given, in place of what stands in for SMAC."""

    def install(files: dict[str, str]) -> None:
        from installed_starcraft import STAND_IN

        monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(STAND_IN)])
        monkeypatch.syspath_prepend(tmp_path)
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)

    return install


@pytest.mark.parametrize(
    ("files", "options", "message"),
    [
        ({}, {}, 'needs the package smac, which is not installed: pip install "smac @ git'),
        ({}, {"capability_config": {"n_units": 1}}, "needs the package smacv2, which is not installed"),
        ({"smac/__init__.py": ""}, {}, "optimiser of hyperparameters.*: pip uninstall smac, then pip install"),
        ({"smac/__init__.py": "", "smac/env/__init__.py": ""}, {}, "optimiser of hyperparameters"),
        (
            {
                "smac/__init__.py": "",
                "smac/env/__init__.py": "raise TypeError('Descriptors cannot be created directly.')",
            },
            {},
            r"older protobuf.*protobuf<3.21",
        ),
        (
            {"smac/__init__.py": "", "smac/env/__init__.py": "import pysc3"},
            {},
            "cannot be imported .ModuleNotFoundError: No module named 'pysc3'",
        ),
    ],
)
def test_missing_and_wrong_packages(
    packages: Callable[[dict[str, str]], None], make: Make, files: dict[str, str], options: Any, message: str
):
    packages(files)
    with pytest.raises(ImportError, match=message):
        make(**options)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda monkeypatch, game: monkeypatch.delenv("SC2PATH"), r"SC2PATH name its folder \(it is not set\)"),
        (lambda monkeypatch, game: monkeypatch.setenv("SC2PATH", "/nowhere"), "now '/nowhere'"),
        (
            lambda monkeypatch, game: (game.folder / "Maps" / "SMAC_Maps" / "3m.SC2Map").unlink(),
            "map '3m' was not found.*put the folder SMAC_Maps of smac into its folder Maps",
        ),
    ],
)
def test_missing_game(
    make: Make, starcraft: StarCraft, monkeypatch: pytest.MonkeyPatch, spoil: Callable[..., Any], message: str
):
    monkeypatch.setenv("HOME", str(starcraft.folder / "nobody"))
    spoil(monkeypatch, starcraft)
    with pytest.raises(RuntimeError, match=message):
        make()


def test_both_packages_in_one_process(make: Make):
    make()
    with pytest.raises(ImportError, match="smacv2 cannot be used in a process that has used smac"):
        make(**SMACV2)
