"""Battles of three marines on each side; one compilation serves the whole file."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from ray.rllib.env.env_context import EnvContext

pytest.importorskip("jaxmarl")

from rllib_mamba import registry
from rllib_mamba.envs.smax import SMAXEnv
from rllib_mamba.envs.smax.batch import shared_batch
from rllib_mamba.envs.smax.runtime import scenario_names

RIGHT, LEFT, STOP, FIRST_ATTACK = 1, 3, 4, 5
NUMBER, NUM_ACTIONS = 3, 8
Act = Callable[[str, np.ndarray], int]


def make(worker: int = 0, index: int = 0, **config: Any) -> SMAXEnv:
    return SMAXEnv(EnvContext(config, worker_index=worker, vector_index=index))


@pytest.fixture(scope="module", autouse=True)
def compiled_for_eight() -> None:
    """From here on all steps are taken by the same program, so that nothing below compiles another."""
    envs = [make(seed=number) for number in range(8)]
    for env in envs:
        env.reset()
        env.step_async(dict.fromkeys(env.possible_agents, STOP))
    envs[0].step_wait()


def always(action: int) -> Act:
    return lambda agent, mask: action


def fight(agent: str, mask: np.ndarray) -> int:
    """Goes to the enemy and attacks the first one in range."""
    return FIRST_ATTACK + int(np.argmax(mask[FIRST_ATTACK:])) if mask[FIRST_ATTACK:].any() else RIGHT


def at_random(seed: int, legal: bool = True) -> Act:
    generator = np.random.default_rng(seed)
    return lambda agent, mask: int(generator.choice(np.flatnonzero(mask) if legal else len(mask)))


class Player:
    """Plays battles step by step and keeps what it gets."""

    def __init__(self, env: SMAXEnv, act: Act, seed: int | None = None) -> None:
        self.env = env
        self.act = act
        self.results: list[Any] = []
        self.reset(seed)

    def reset(self, seed: int | None = None) -> None:
        observations, self.infos = self.env.reset(seed=seed)
        self.living = list(observations)
        self.results.append((observations, self.infos))

    @property
    def over(self) -> bool:
        return not self.living

    def actions(self) -> dict[str, int]:
        return {agent: self.act(agent, self.infos[agent]["action_mask"]) for agent in self.living}

    def take(self, result: tuple[Any, ...]) -> tuple[Any, ...]:
        observations, _, terminateds, truncateds, self.infos = result
        over = terminateds["__all__"] or truncateds["__all__"]
        self.living = [] if over else [agent for agent in observations if not terminateds[agent]]
        self.results.append(result)
        return result

    def step(self) -> tuple[Any, ...]:
        return self.take(self.env.step(self.actions()))


def battles(env: SMAXEnv, act: Act, most: int = 200) -> Iterator[list[tuple[Any, ...]]]:
    """The steps of one battle after the other."""
    player = Player(env, act)
    for _ in range(most):
        steps = []
        while not player.over:
            steps.append(player.step())
        yield steps
        player.reset()


def same(first: Any, second: Any) -> bool:
    """Equal to the last bit."""
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, np.ndarray):
        return first.dtype == second.dtype and first.tobytes() == second.tobytes()
    return first == second


# ---------------------------------------------------------------------- what agents see and get


def test_spaces_masks_and_state():
    env = make(seed=0)
    assert env.possible_agents == ["ally_0", "ally_1", "ally_2"]
    observations, infos = env.reset()
    for agent in env.possible_agents:
        assert env.observation_spaces[agent].contains(observations[agent])
        assert env.action_spaces[agent].n == NUM_ACTIONS
        # The enemy is out of range at first: move or stop.
        assert infos[agent]["action_mask"].tolist() == [1] * FIRST_ATTACK + [0] * 3
    state = infos["__common__"]["state"]
    assert state.dtype == np.float32
    # Ten numbers of each unit, then the teams and the types (all marines).
    units = state[:60].reshape(6, 10)
    assert units[:, 0].tolist() == [1] * 6
    assert state[60:].tolist() == [0] * 3 + [1] * 3 + [0] * 6
    # Around (8, 16) and (24, 16), give or take two, and then pushed apart.
    assert np.abs(units[:3, 1:3] - [8, 16]).max() < 3
    assert np.abs(units[3:, 1:3] - [24, 16]).max() < 3


def test_battles_won_and_lost():
    won = lost = 0
    for steps in battles(make(seed=3), fight):
        _, _, terminateds, truncateds, infos = steps[-1]
        assert terminateds["__all__"]
        assert not truncateds["__all__"]
        metrics = infos["__common__"]["episode_metrics"]
        health = infos["__common__"]["state"][:60].reshape(6, 10)[:, 0]
        survivors, killed = np.count_nonzero(health[:3]), 3 - np.count_nonzero(health[3:])
        assert metrics == {
            "won": float(killed == 3 and survivors > 0),
            "episode_length": len(steps),
            "enemies_killed": pytest.approx(killed / 3),
            "allies_alive": pytest.approx(survivors / 3),
            "team_return": pytest.approx(sum(max(step[1].values()) for step in steps)),
        }
        # The same for everybody, whoever did it: the mean damage, and 1 for a battle won.
        assert all(len(set(step[1].values())) == 1 for step in steps)
        assert metrics["team_return"] == pytest.approx(np.mean(1 - health[3:]) + metrics["won"], abs=1e-5)
        won += metrics["won"] == 1
        lost += killed < 3
        if won and lost:
            return
    raise AssertionError(f"{won} battles won and {lost} lost")


def test_the_dead_stay_without_a_choice_and_share_the_reward():
    deaths = 0
    everybody = {"ally_0", "ally_1", "ally_2"}
    for steps in battles(make(seed=4), fight, most=3):
        for number, (observations, rewards, terminateds, truncateds, infos) in enumerate(steps):
            last = number == len(steps) - 1
            assert set(observations) == set(rewards) == everybody
            assert len(set(rewards.values())) == 1
            assert terminateds == dict.fromkeys([*everybody, "__all__"], last)
            assert not any(truncateds.values())
            assert set(infos) == {*everybody, "__common__"}
            assert ("episode_metrics" in infos["__common__"]) == last
            health = infos["__common__"]["state"][:30].reshape(3, 10)[:, 0]
            dead = {agent for agent in everybody if not health[int(agent[-1])]}
            assert not any(observations[agent].any() for agent in dead)
            assert all(observations[agent].any() for agent in everybody - dead)
            only_stop = [action == STOP for action in range(NUM_ACTIONS)]
            for agent in everybody:
                assert (infos[agent]["action_mask"].tolist() == only_stop) == (agent in dead)
            deaths += len(dead) and not last
    assert deaths


def test_time_limit_is_no_end():
    player = Player(make(seed=5, max_steps=6), always(STOP))
    for number in range(6):
        _, _, terminateds, truncateds, infos = player.step()
        assert not any(terminateds.values())
        assert truncateds == {**dict.fromkeys(player.env.possible_agents, False), "__all__": number == 5}
    assert infos["__common__"]["episode_metrics"] == {
        "won": 0.0,
        "episode_length": 6,
        "enemies_killed": 0.0,
        "allies_alive": 1.0,
        "team_return": 0.0,
    }


def test_walls_kill():
    *_, (_, _, terminateds, _, infos) = next(battles(make(seed=6), always(LEFT)))
    assert terminateds["__all__"]
    assert infos["__common__"]["episode_metrics"]["allies_alive"] == 0
    assert infos["__common__"]["episode_metrics"]["enemies_killed"] == 0


def test_illegal_attacks_are_stops():
    stopped, illegal = (Player(make(seed=7), always(action)) for action in (STOP, FIRST_ATTACK + 2))
    for _ in range(3):
        mask = illegal.infos["ally_0"]["action_mask"]
        assert not mask[FIRST_ATTACK + 2]
        (_, rewards, _, _, infos), (_, other_rewards, _, _, other_infos) = stopped.step(), illegal.step()
        assert rewards == other_rewards == dict.fromkeys(rewards, 0.0)
        assert same(infos["__common__"], other_infos["__common__"])


# ---------------------------------------------------------------------- seeds and streams


def record(env: SMAXEnv, seed: int | None = None, steps: int = 40) -> list[Any]:
    """What random play sees in battles that follow each other."""
    player = Player(env, at_random(1), seed)
    for _ in range(steps):
        if player.over:
            player.reset()
        player.step()
    return player.results


def test_a_seed_decides_about_all_battles_from_there_on():
    env = make(seed=1)
    first = record(env)
    assert same(first, record(make(seed=1)))
    assert not same(first, record(env))
    assert not same(first[0], record(make(seed=2), steps=1)[0])
    seeded = record(env, seed=11)
    assert same(seeded, record(env, seed=11))
    assert same(seeded, record(make(seed=2), seed=11))
    assert not same(seeded, record(env))


def test_environments_have_streams_of_their_own():
    firsts = [make(*place, seed=1).reset() for place in ((1, 0), (1, 1), (2, 0), (2, 1))]
    assert not any(same(first, other) for number, first in enumerate(firsts) for other in firsts[:number])
    assert not same(make().reset(), make().reset())


def test_battles_that_are_given_up_are_not_repeated():
    env = make(seed=1)
    firsts = [env.reset() for _ in range(3)]
    env.step(dict.fromkeys(env.possible_agents, STOP))
    firsts.append(env.reset())
    assert not any(same(first, other) for number, first in enumerate(firsts) for other in firsts[:number])


# ---------------------------------------------------------------------- together and alone


def test_company_makes_no_difference():
    def player(number: int) -> Player:
        # The limits differ so that some begin anew while others go on.
        return Player(make(seed=number, max_steps=9 + number), at_random(number))

    alone = [player(number) for number in range(5)]
    for lonely in alone:
        for _ in range(60):
            lonely.reset() if lonely.over else lonely.step()
    together = [player(number) for number in range(5)]
    for _ in range(60):
        fighting = [member for member in together if not member.over]
        for member in fighting:
            member.env.step_async(member.actions())
        for member in together:
            if member in fighting:
                member.take(member.env.step_wait())
            else:
                member.reset()
    assert same([member.results for member in together], [lonely.results for lonely in alone])


def test_the_number_of_battles_stepped_together_makes_no_difference():
    simulation = shared_batch(make().settings).simulation
    generator = np.random.default_rng(0)
    single = eight = np.stack([np.asarray(simulation.begin(np.uint32([0, 8]), np.int32(7))[0])] * 8)
    ends = 0
    for _ in range(20):
        actions = generator.integers(NUM_ACTIONS, size=(8, NUMBER)).astype(np.int32)
        moves, lonely_moves = simulation.step(eight, actions), simulation.step(single[:1], actions[:1])
        for part, lonely_part in zip(moves, lonely_moves, strict=True):
            assert np.asarray(part[:1]).tobytes() == np.asarray(lonely_part).tobytes()
        eight, single = np.asarray(moves.battles), np.asarray(lonely_moves.battles)
        ends += np.asarray(moves.first_views)[0].any()
    assert ends


def test_others_may_leave_begin_anew_or_step_at_any_time():
    expected = record(make(seed=1), steps=12)
    player = Player(make(seed=1), at_random(1))
    others = [make(seed=number) for number in range(2, 5)]
    for number in range(12):
        for other in others:
            other.reset()
            other.step_async(dict.fromkeys(other.possible_agents, number % FIRST_ATTACK))
        player.env.step_async(player.actions())
        others[0].close()
        others[1].reset()
        assert not others[2].step_wait()[2]["__all__"]
        player.take(player.env.step_wait())
    assert same(player.results, expected)


def test_results_stay_as_they_are():
    player = Player(make(seed=1), at_random(1))
    before = [player.infos["__common__"]["state"].copy()]
    for _ in range(5):
        before.append(player.step()[4]["__common__"]["state"].copy())
    kept = [result[-1]["__common__"]["state"] for result in player.results]
    assert same(kept, before)
    # Users may write into what they were given.
    kept[-1][:] = 7
    player.results[-1][0]["ally_0"][:] = 7
    assert player.step()[4]["__common__"]["state"].max() < 100


# ---------------------------------------------------------------------- pictures


def test_pictures():
    player = Player(make(seed=3), fight)
    first = player.env.render()
    assert first.dtype == np.uint8
    assert first.shape == (672, 640, 3)

    def is_blue(frame: np.ndarray) -> np.ndarray:
        red, _, blue = frame[40:].astype(int).transpose(2, 0, 1)
        return blue - red > 100

    # Allies begin on the left, enemies on the right.
    assert is_blue(first)[:, :320].any()
    assert not is_blue(first)[:, 320:].any()
    while len(player.living) == NUMBER:
        player.step()
    died = player.env.render()
    assert not np.array_equal(first, died)
    with pytest.raises(RuntimeError, match="reset"):
        make().render()


# ---------------------------------------------------------------------- bad input


def test_actions_that_are_missing_or_do_not_exist():
    env = make(seed=1)
    with pytest.raises(RuntimeError, match="reset"):
        env.step({})
    env.reset()
    with pytest.raises(ValueError, match=r"ally_1 needs an action from 0 to 7, got None"):
        env.step({"ally_0": STOP})
    with pytest.raises(ValueError, match=r"ally_2 needs an action from 0 to 7, got 8"):
        env.step({"ally_0": STOP, "ally_1": STOP, "ally_2": 8})
    *_, last = next(battles(env, always(LEFT)))
    assert last[2]["__all__"]
    env = make(seed=1, max_steps=1)
    env.reset()
    env.step(dict.fromkeys(env.possible_agents, STOP))
    with pytest.raises(RuntimeError, match="over"):
        env.step(dict.fromkeys(env.possible_agents, STOP))


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ({"scenario": "3ms"}, ValueError, r"'3ms'\. Did you mean '3m'\? .*2s3z"),
        ({"scenario": 3}, TypeError, "scenario must be a name"),
        ({"max_step": 5}, ValueError, "did you mean 'max_steps'"),
        ({"max_steps": 0}, ValueError, "max_steps must be at least 1"),
        ({"max_steps": 5.0}, TypeError, "max_steps must be an integer"),
        ({"enemy_shoots": 1}, TypeError, "enemy_shoots must be True or False"),
        ({"attack_mode": "nearest"}, ValueError, "attack_mode must be one of closest, random"),
        ({"observation_type": "list"}, ValueError, "observation_type must be one of unit_list, conic"),
        ({"one_hot_targets": 1}, TypeError, "one_hot_targets must be True or False"),
        (
            {"one_hot_targets": True, "observation_type": "conic"},
            ValueError,
            "one_hot_targets needs observation_type='unit_list', got 'conic'",
        ),
        ({"won_battle_bonus": float("nan")}, TypeError, "won_battle_bonus must be a finite number"),
        ({"time_per_step": 0.0}, ValueError, "time_per_step must be above 0"),
        ({"map_width": 4}, ValueError, "map_width must be at least 8"),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
    ],
)
def test_settings_out_of_range(config: dict[str, Any], error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        SMAXEnv(config)


def test_jaxmarl_is_missing(monkeypatch: pytest.MonkeyPatch):
    for module in [name for name in sys.modules if name.partition(".")[0] == "jaxmarl"]:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, "jaxmarl", None)
    with pytest.raises(ImportError, match=r'pip install "rllib-mamba\[smax\]"'):
        SMAXEnv({"won_battle_bonus": 2.0})


def test_every_scenario_has_a_name():
    named = {name.removeprefix("smax_") for name in registry.environment_names() if name.startswith("smax_")}
    assert named == set(scenario_names())
