"""Rewards by name: what each of them counts, on a map drawn by hand and in episodes."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("flatland")

from rllib_mamba.envs.flatland import PRESETS, FlatlandEnv
from rllib_mamba.envs.flatland.baselines import shortest_path_action
from rllib_mamba.envs.flatland.rail_graph import RailGraph
from rllib_mamba.envs.flatland.rewards import REWARDS, Outcome, RewardShaper
from rllib_mamba.envs.flatland.trains import Phase, Train

EAST = 1
STRAIGHT = 0b0000_0100_0000_0001  # east to west
SWITCH = 0b0001_0110_0000_0001  # eastwards also to the south, from the south to the west
DEBUG = {**PRESETS["flatland_debug"], "number_of_trains": 2, "malfunction_rate": 0.0}
LIMIT = 100


@pytest.fixture
def line() -> RailGraph:
    """Ten cells from west to east in row 0, a switch at column 4; both trains are bound for the eastern end."""
    grid = np.zeros((2, 10), np.uint16)
    grid[0] = STRAIGHT
    grid[0, 4] = SWITCH
    return RailGraph(grid, [(0, 9), (0, 9)])


def on_map(line: RailGraph, column: int) -> Train:
    return Train(Phase.ACTIVE, line.configuration((0, column), EAST), 0)


def arrived(line: RailGraph) -> Train:
    return Train(Phase.ARRIVED, line.configuration((0, 9), EAST), 0)


def outcome(
    line: RailGraph,
    trains: list[Train],
    deadlocked: tuple[bool, ...] = (False, False),
    stopped: tuple[bool, ...] = (False, False),
) -> Outcome:
    return Outcome(line, trains, deadlocked, stopped, LIMIT)


def rewarded(line: RailGraph, name: str, *outcomes: Outcome) -> list[list[float]]:
    """Rewards of weight 2 for trains that begin at columns 1 and 3."""
    shaper = RewardShaper({name: 2.0}, unreachable_distance=50.0)
    shaper.start(line, [on_map(line, 1), on_map(line, 3)])
    return [shaper.rewards(each) for each in outcomes]


class TestOnALine:
    def test_finish_once(self, line: RailGraph) -> None:
        there = outcome(line, [arrived(line), on_map(line, 3)])
        assert rewarded(line, "finish", there, there) == [[2.0, 0.0], [0.0, 0.0]]

    def test_deadlock_once(self, line: RailGraph) -> None:
        stuck = outcome(line, [on_map(line, 1), on_map(line, 3)], deadlocked=(False, True))
        assert rewarded(line, "deadlock", stuck, stuck) == [[0.0, 2.0], [0.0, 0.0]]

    def test_progress_cell_by_cell(self, line: RailGraph) -> None:
        onwards = outcome(line, [on_map(line, 2), on_map(line, 3)])
        back = outcome(line, [on_map(line, 0), arrived(line)])
        assert rewarded(line, "progress", onwards, back) == [[2.0, 0.0], [-4.0, 12.0]]

    def test_progress_to_where_the_target_is_out_of_reach(self, line: RailGraph) -> None:
        westwards = Train(Phase.ACTIVE, line.configuration((0, 3), 3), 0)
        assert rewarded(line, "progress", outcome(line, [on_map(line, 1), westwards])) == [[0.0, 2.0 * (6 - 50)]]

    def test_every_step_after_which_a_train_goes_on(self, line: RailGraph) -> None:
        on_their_way = [on_map(line, 1), on_map(line, 3)]
        outcomes = [
            outcome(line, on_their_way),
            outcome(line, on_their_way, deadlocked=(True, False)),
            outcome(line, [arrived(line), on_map(line, 3)]),
        ]
        assert rewarded(line, "every_step", *outcomes) == [[2.0, 2.0], [0.0, 2.0], [0.0, 2.0]]

    @pytest.mark.parametrize(
        ("name", "expected"), [("no_stop_on_switch", [0.0, 2.0]), ("no_stop_elsewhere", [2.0, 0.0])]
    )
    def test_stopping_on_a_switch_and_elsewhere(self, line: RailGraph, name: str, expected: list[float]) -> None:
        trains = [on_map(line, 1), on_map(line, 4)]
        both_stop = outcome(line, trains, stopped=(True, True))
        assert rewarded(line, name, outcome(line, trains), both_stop) == [[0.0, 0.0], expected]

    def test_sparse_when_the_last_one_arrives(self, line: RailGraph) -> None:
        outcomes = [outcome(line, [arrived(line), on_map(line, 3)]), outcome(line, [arrived(line), arrived(line)])]
        assert rewarded(line, "sparse", *outcomes) == [[0.0, 0.0], [2.0, 2.0]]

    def test_simple_is_the_step_limit_when_the_last_one_arrives(self, line: RailGraph) -> None:
        outcomes = [outcome(line, [arrived(line), on_map(line, 3)]), outcome(line, [arrived(line), arrived(line)])]
        assert rewarded(line, "simple", *outcomes)[0][1] == -2.0
        assert rewarded(line, "simple", *outcomes)[1][1] == 2.0 * LIMIT

    def test_zero(self, line: RailGraph) -> None:
        end = outcome(line, [arrived(line), on_map(line, 4)], deadlocked=(False, True), stopped=(False, True))
        assert rewarded(line, "zero", end) == [[0.0, 0.0]]

    def test_a_sum_of_several(self, line: RailGraph) -> None:
        shaper = RewardShaper({"finish": 10.0, "every_step": -0.5, "progress": 0.1})
        shaper.start(line, [on_map(line, 7), on_map(line, 3)])
        rewards = shaper.rewards(outcome(line, [arrived(line), on_map(line, 4)]))
        assert rewards == pytest.approx([10.0 + 0.1 * 2, -0.5 + 0.1])


def episode(rewards: dict[str, float], seed: int, choose: Any = shortest_path_action, **options: Any) -> Any:
    """The environment after one episode, with the rewards of every step, and actions by step."""
    env = FlatlandEnv({**DEBUG, **options, "rewards": rewards})
    observations, _ = env.reset(seed=seed)
    received, over = [], False
    while not over:
        actions = {agent: choose(observation) for agent, observation in observations.items()}
        observations, step_rewards, terminateds, truncateds, infos = env.step(actions)
        received.append(step_rewards)
        observations = {agent: row for agent, row in observations.items() if not terminateds[agent]}
        over = terminateds["__all__"] or truncateds["__all__"]
    return env, received, infos["__common__"]["episode_metrics"]


class TestInEpisodes:
    @pytest.mark.parametrize("name", list(REWARDS))
    def test_every_reward_can_be_asked_for(self, name: str) -> None:
        _, received, _ = episode({name: 1.0}, seed=0)
        assert all(isinstance(reward, float) for step in received for reward in step.values())

    def test_sparse_and_simple_at_the_end_of_an_episode_in_which_all_arrive(self) -> None:
        _, sparse, metrics = episode({"sparse": 3.0}, seed=0)
        assert metrics["arrived"] == 1.0
        assert not any(reward for step in sparse[:-1] for reward in step.values())
        assert set(sparse[-1].values()) == {3.0}
        env, simple, _ = episode({"simple": 1.0}, seed=0)
        assert {reward for step in simple[:-1] for reward in step.values()} == {-1.0}
        assert set(simple[-1].values()) == {float(env.settings.episode_limit)}

    def test_stops_that_a_train_chooses_are_counted(self) -> None:
        generator = np.random.default_rng(0)
        env = FlatlandEnv(
            {**DEBUG, "action_masks": True, "rewards": {"no_stop_on_switch": 1.0, "no_stop_elsewhere": 100.0}}
        )
        observations, infos = env.reset(seed=1)
        counted = expected = 0
        for _ in range(80):
            actions = {agent: int(generator.choice(3, p=[0.4, 0.2, 0.4])) for agent in observations}
            for agent, action in actions.items():
                on_the_map = observations[agent][8] < 0
                expected += action == 2 and on_the_map and infos[agent]["action_mask"][2]
            observations, rewards, terminateds, truncateds, infos = env.step(actions)
            counted += sum(reward % 100 + reward // 100 for reward in rewards.values())
            observations = {agent: row for agent, row in observations.items() if not terminateds[agent]}
            if terminateds["__all__"] or truncateds["__all__"]:
                break
        assert counted == expected > 5


@pytest.mark.parametrize(
    ("rewards", "error", "message"),
    [
        ({"finnish": 1.0}, ValueError, "unknown reward 'finnish': did you mean 'finish'"),
        ({"zzz": 1.0}, ValueError, "unknown reward 'zzz': known are finish, progress, deadlock, every_step"),
        ({}, ValueError, "at least one reward"),
        ({"finish": "much"}, TypeError, r"rewards\['finish'\] must be a finite number, got 'much'"),
        ({"finish": float("inf")}, TypeError, r"rewards\['finish'\] must be a finite number"),
        (["finish"], TypeError, "rewards must map names to weights"),
        ("finish", TypeError, "rewards must map names to weights"),
    ],
)
def test_what_is_not_a_sum_of_rewards(rewards: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        FlatlandEnv({"rewards": rewards})


def test_changing_the_mapping_afterwards_changes_nothing() -> None:
    rewards = {"finish": 1.0}
    env = FlatlandEnv({**DEBUG, "rewards": rewards})
    rewards["finish"] = float("nan")
    assert env.settings.rewards == {"finish": 1.0}
