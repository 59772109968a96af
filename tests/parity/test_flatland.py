"""The Flatland environment against snapshots recorded from the original implementation (README.md, section B)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

pytest.importorskip("flatland")

from flatland_snapshots import ACTIVE, FILES, READY, REMOVED, Recording

from rllib_mamba.envs.flatland.communication import EncounterMemory
from rllib_mamba.envs.flatland.deadlocks import find_deadlocks
from rllib_mamba.envs.flatland.decisions import FIRST_BRANCH, is_forced, open_turns, rail_action
from rllib_mamba.envs.flatland.observation import NOBODY, TreeObservation
from rllib_mamba.envs.flatland.rail_graph import HEADINGS, RailGraph
from rllib_mamba.envs.flatland.rewards import PAPER_REWARDS, Outcome, RewardShaper
from rllib_mamba.envs.flatland.trains import Phase, Train, read_graph, read_trains

EMPTY_LIST = -2
ON_SWITCH = 6


@dataclass
class Analysis:
    """What we make of one snapshot, and the state that flatland-rl 4.3 is in after the recorded actions."""

    trains: list[Train]
    deadlocked: list[bool]
    observations: np.ndarray
    met: list[tuple[int, ...]]
    forced: list[bool]
    next_trains: list[Train]


@dataclass
class Replayed:
    """A recording with our analysis of each of its snapshots."""

    recording: Recording
    graph: RailGraph
    analyses: list[Analysis]

    def __iter__(self) -> Iterator[tuple[int, Analysis]]:
        return iter(enumerate(self.analyses))


@pytest.fixture(scope="module", params=FILES, ids=lambda path: path.stem)
def replayed(request: pytest.FixtureRequest) -> Replayed:
    recording = Recording(request.param)
    rail_env = recording.simulator()
    graph = read_graph(rail_env)
    observer = TreeObservation(graph, recording.static.random_handles.tolist())
    analyses = []
    for snapshot in range(recording.snapshots):
        recording.impose(rail_env, snapshot)
        trains = read_trains(rail_env, graph)
        deadlocked = find_deadlocks(graph, trains, recording["deadlocked_before"][snapshot].astype(bool).tolist())
        observations, met = observer.observe(trains, deadlocked)
        forced = [is_forced(train, stuck, graph.decisions) for train, stuck in zip(trains, deadlocked, strict=True)]
        recording.impose_new_malfunctions(rail_env, snapshot)
        rail_env.step({i: a for i, a in enumerate(recording["rail_action"][snapshot].tolist()) if a >= 0})
        analyses.append(Analysis(trains, deadlocked, observations, met, forced, read_trains(rail_env, graph)))
    return Replayed(recording, graph, analyses)


def recorded_next_trains(replayed: Replayed, snapshot: int) -> list[Train]:
    """The recorded state after the step that follows a snapshot."""
    recording, graph = replayed.recording, replayed.graph
    trains = []
    for handle, status in enumerate(recording["next_status"][snapshot].tolist()):
        malfunction = int(recording["next_malfunction"][snapshot, handle])
        if status == REMOVED:
            trains.append(Train(Phase.ARRIVED, graph.targets[handle] * HEADINGS, malfunction))
            continue
        position = recording.static.initial_position[handle]
        if status == ACTIVE:
            position = recording["next_position"][snapshot, handle]
        configuration = graph.configuration(
            tuple(position.tolist()), int(recording["next_direction"][snapshot, handle])
        )
        trains.append(Train(Phase.ACTIVE if status == ACTIVE else Phase.READY, configuration, malfunction))
    return trains


def test_recordings_are_found() -> None:
    assert FILES, "no flatland_*agents.npz in the parity data folder"


def test_the_state_is_read_back_as_it_was_recorded(replayed: Replayed) -> None:
    recording = replayed.recording
    phases = {READY: Phase.READY, ACTIVE: Phase.ACTIVE, REMOVED: Phase.ARRIVED}
    for snapshot, analysis in replayed:
        assert [train.phase for train in analysis.trains] == [phases[x] for x in recording["status"][snapshot].tolist()]
        assert [train.malfunction for train in analysis.trains] == recording["malfunction"][snapshot].tolist()


class TestMap:
    def test_switches(self, replayed: Replayed) -> None:
        switches = np.flatnonzero(replayed.recording.static.switches)
        assert replayed.graph.switch_cells == set(switches.tolist())

    def test_decision_cells(self, replayed: Replayed) -> None:
        decisions = np.flatnonzero(replayed.recording.static.decision_cells)
        assert replayed.graph.decisions == set(decisions.tolist())

    def test_targets(self, replayed: Replayed) -> None:
        assert set(replayed.graph.targets) == set(np.flatnonzero(replayed.recording.static.has_target).tolist())

    def test_distances(self, replayed: Replayed) -> None:
        recorded = replayed.recording.static.distance_map.astype(float)
        recorded[recorded < 0] = np.inf
        ours = [replayed.graph.distances(target) for target in replayed.graph.targets]
        np.testing.assert_array_equal(np.reshape(ours, recorded.shape), recorded)


class TestObservation:
    def test_deadlocks(self, replayed: Replayed) -> None:
        ours = [analysis.deadlocked for _, analysis in replayed]
        np.testing.assert_array_equal(ours, replayed.recording["deadlocked"])

    def test_all_features(self, replayed: Replayed) -> None:
        ours = np.stack([analysis.observations for _, analysis in replayed])
        np.testing.assert_allclose(ours, replayed.recording["obs"], rtol=0, atol=1e-6)

    def test_who_has_one(self, replayed: Replayed) -> None:
        has_one = ~np.array([analysis.forced for _, analysis in replayed])
        has_one &= ~replayed.recording["deadlocked_before"].astype(bool)
        np.testing.assert_array_equal(has_one, replayed.recording["has_obs"])

    def test_who_takes_no_further_part(self, replayed: Replayed) -> None:
        ended = [
            [train.phase == Phase.ARRIVED or stuck for train, stuck in zip(a.trains, a.deadlocked, strict=True)]
            for _, a in replayed
        ]
        np.testing.assert_array_equal(ended, replayed.recording["fake"])


class TestCommunication:
    def test_trains_met(self, replayed: Replayed) -> None:
        np.testing.assert_array_equal([analysis.met for _, analysis in replayed], replayed.recording["encountered"])

    def test_mask(self, replayed: Replayed) -> None:
        recording = replayed.recording
        for snapshot, analysis in replayed:
            memory = EncounterMemory(recording.trains, recording.trains)
            heard = recording["encountered_used"][snapshot]
            heard = np.where(heard == EMPTY_LIST, NOBODY, heard)
            no_one = [False] * recording.trains
            memory.mask([tuple(row) for row in heard.tolist()], no_one, no_one)
            before = recording["deadlocked_before"][snapshot].astype(bool).tolist()
            mask = memory.mask(analysis.met, analysis.forced, before)
            np.testing.assert_array_equal(mask == 0, recording["nn_mask"][snapshot])

    def test_trains_with_an_observation_hear_whom_they_meet_now(self, replayed: Replayed) -> None:
        has_one = replayed.recording["has_obs"].astype(bool)
        met = np.array([analysis.met for _, analysis in replayed])
        np.testing.assert_array_equal(met[has_one], replayed.recording["encountered_used"][has_one])

    def test_trains_in_forced_control_hear_whom_they_met_a_step_ago(self, replayed: Replayed) -> None:
        recording = replayed.recording
        for snapshot, analysis in list(replayed)[1:]:
            if recording["t"][snapshot] != recording["t"][snapshot - 1] + 1:
                continue
            forced = np.array(analysis.forced)
            previous = np.array(replayed.analyses[snapshot - 1].met)
            np.testing.assert_array_equal(previous[forced], recording["encountered_used"][snapshot][forced])

    def test_deadlocked_trains_go_on_hearing_the_same(self, replayed: Replayed) -> None:
        recording = replayed.recording
        heard = recording["encountered_used"]
        for snapshot in range(1, recording.snapshots):
            stuck = recording["deadlocked"][snapshot - 1].astype(bool)
            np.testing.assert_array_equal(heard[snapshot][stuck], heard[snapshot - 1][stuck])


class TestDecisions:
    def test_forced_control(self, replayed: Replayed) -> None:
        np.testing.assert_array_equal([analysis.forced for _, analysis in replayed], replayed.recording["greedy"])

    def test_decision_cells_and_switches_under_trains(self, replayed: Replayed) -> None:
        recording, graph = replayed.recording, replayed.graph
        for snapshot, analysis in replayed:
            active = recording["status"][snapshot] == ACTIVE
            deciding = [train.configuration in graph.decisions for train in analysis.trains]
            on_switch = analysis.observations[:, ON_SWITCH] > 0  # never, a quirk of the original (B.4.1)
            np.testing.assert_array_equal(np.array(deciding)[active], recording["on_decision_cell"][snapshot][active])
            np.testing.assert_array_equal(on_switch[active], recording["on_switch_flag"][snapshot][active])

    def test_open_turns(self, replayed: Replayed) -> None:
        ours = [[open_turns(replayed.graph, train) for train in analysis.trains] for _, analysis in replayed]
        np.testing.assert_array_equal(ours, replayed.recording["avail_lfr"])

    def test_every_action_in_flatlands_terms(self, replayed: Replayed) -> None:
        ours = [
            [[rail_action(replayed.graph, train, action) for action in range(3)] for train in analysis.trains]
            for _, analysis in replayed
        ]
        np.testing.assert_array_equal(ours, replayed.recording["action_map"])

    def test_actions_taken(self, replayed: Replayed) -> None:
        recording = replayed.recording
        forced = np.array([analysis.forced for _, analysis in replayed])
        executed = np.where(forced, FIRST_BRANCH, recording["policy_action"])
        np.testing.assert_array_equal(executed, recording["executed_action"])
        sent = [
            [rail_action(replayed.graph, train, action) for train, action in zip(a.trains, actions, strict=True)]
            for (_, a), actions in zip(replayed, executed.tolist(), strict=True)
        ]
        np.testing.assert_array_equal(sent, recording["rail_action"])


class TestTransition:
    """Flatland 4.3 takes the recorded step; README.md B.3 names where it may differ from 2.2.2."""

    def test_positions_and_ends(self, replayed: Replayed) -> None:
        differences = []
        for snapshot, analysis in replayed:
            recorded = recorded_next_trains(replayed, snapshot)
            excused = departure_differences(replayed, snapshot)
            for handle, (ours, theirs) in enumerate(zip(analysis.next_trains, recorded, strict=True)):
                if ours != theirs and handle not in excused:
                    differences.append((snapshot, handle, ours, theirs))
        assert not differences

    def test_malfunctions(self, replayed: Replayed) -> None:
        ours = [[train.malfunction for train in analysis.next_trains] for _, analysis in replayed]
        np.testing.assert_array_equal(ours, replayed.recording["next_malfunction"])

    def test_deadlocks_afterwards(self, replayed: Replayed) -> None:
        ours = [
            find_deadlocks(replayed.graph, recorded_next_trains(replayed, snapshot), analysis.deadlocked)
            for snapshot, analysis in replayed
        ]
        np.testing.assert_array_equal(ours, replayed.recording["next_deadlocked"])

    def test_rewards(self, replayed: Replayed) -> None:
        recording = replayed.recording
        for snapshot, _ in replayed:
            shaper = RewardShaper(PAPER_REWARDS)
            shaper.parts["progress"].distances = recording["near_prev_dist"][snapshot].tolist()
            shaper.parts["finish"].before = recording["finish_rewarded_before"][snapshot].astype(bool).tolist()
            shaper.parts["deadlock"].before = recording["deadlock_punished_before"][snapshot].astype(bool).tolist()
            deadlocked = recording["next_deadlocked"][snapshot].astype(bool).tolist()
            trains = recorded_next_trains(replayed, snapshot)
            nobody = [False] * recording.trains
            rewards = shaper.rewards(Outcome(replayed.graph, trains, deadlocked, nobody, 0))
            np.testing.assert_allclose(rewards, recording["reward"][snapshot], rtol=0, atol=1e-9)

    def test_distances_remembered_for_the_rewards(self, replayed: Replayed) -> None:
        for snapshot, analysis in replayed:
            shaper = RewardShaper(PAPER_REWARDS)
            shaper.start(replayed.graph, analysis.trains)
            assert shaper.parts["progress"].distances == replayed.recording["near_prev_dist"][snapshot].tolist()

    def test_done_flags(self, replayed: Replayed) -> None:
        recording = replayed.recording
        limit = min(recording.info["max_time_steps"], recording.info["rail_max_episode_steps"])
        for snapshot, _ in replayed:
            deadlocked = recording["next_deadlocked"][snapshot].astype(bool)
            timed_out = recording["t"][snapshot] + 1 >= limit
            arrived = [train.phase == Phase.ARRIVED for train in recorded_next_trains(replayed, snapshot)]
            done = deadlocked | np.array(arrived) | timed_out
            np.testing.assert_array_equal(done, recording["done"][snapshot])
            assert bool(done.all()) == bool(recording["episode_over"][snapshot])
            assert np.mean(arrived) == pytest.approx(recording["next_arrived_fraction"][snapshot])


def departure_differences(replayed: Replayed, snapshot: int) -> set[int]:
    """Trains that may end a step elsewhere than in 2.2.2: those that share a contested departure cell.

    In 2.2.2 a train may depart while it is broken down, in 4.3 not; and who wins a departure cell may differ.
    """
    recording = replayed.recording
    starts = [tuple(position) for position in recording.static.initial_position.tolist()]
    departing = {
        handle
        for handle, train in enumerate(replayed.analyses[snapshot].trains)
        if train.phase == Phase.READY and recording["rail_action"][snapshot, handle] >= 0
    }
    broken = {handle for handle in departing if recording["next_malfunction"][snapshot, handle] > 0}
    rivals = {
        handle for handle in departing if any(starts[other] == starts[handle] for other in departing if other != handle)
    }
    return broken | rivals
