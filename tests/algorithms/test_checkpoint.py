"""A run that was killed goes on from its checkpoint as if nothing had happened."""

import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModule
from ray.rllib.core.rl_module.rl_module import RLModule
from ray.rllib.utils.checkpoints import Checkpointable
from runs import (
    acting_weights,
    afterwards_of,
    annealed,
    assert_different,
    assert_same,
    learner_results,
    leaves,
    symbol_game,
    weights,
)

from rllib_mamba import MAMBA

pytestmark = pytest.mark.usefixtures("ray_cluster")

MODULES = "learner_group/learner/rl_module"


def check_goes_on(algorithm: MAMBA, afterwards: dict[str, Any], but: tuple[str, ...] = ()) -> None:
    """The next iteration learns what the interrupted run learned after its checkpoint, number for number."""
    assert_same(weights(algorithm), afterwards["weights before"])
    result = algorithm.train()
    assert any(path.endswith("/total_loss") for path in afterwards["learners"])
    assert_same(learner_results(result), afterwards["learners"], but=but)
    assert_same(weights(algorithm), afterwards["weights"])
    assert_different(weights(algorithm), afterwards["weights before"])
    assert result["training_iteration"] == afterwards["iteration"]
    assert result["num_env_steps_sampled_lifetime"] == afterwards["env steps"]
    for name, count in algorithm.update_schedule.get_state().items():
        # The episodes that were cut short by the kill do not count.
        assert count == afterwards["schedule"][name] or "episodes" in name
    acting = weights(algorithm)
    for of_runner in acting_weights(algorithm):
        assert_same(of_runner, {name: acting[name] for name in of_runner})


@pytest.mark.parametrize("name", ["symbol_game", "annealed", "two_teams", "signals"])
def test_the_update_after_a_kill_is_the_one_that_would_have_come(name: str, killed_run: Path) -> None:
    algorithm = Algorithm.from_checkpoint(str(killed_run / name / "checkpoint"))
    assert isinstance(algorithm, MAMBA)
    check_goes_on(algorithm, afterwards_of(killed_run, name))
    algorithm.stop()


def test_rates_and_entropy_weight_go_on_falling(killed_run: Path) -> None:
    """What "the same" means above: the schedules have moved, and not begun anew."""
    learners = afterwards_of(killed_run, "annealed")["learners"]
    first = annealed()
    # Three updates of each kind, after 100, 200 and 300 env steps, of two epochs with one minibatch each.
    assert learners["num_agent_updates_lifetime"] == 3
    assert learners["team/world_model_learning_rate"] < 0.8 * first.world_model_lr[0][1]
    scheduled = np.interp(300, *zip(*first.entropy_coeff, strict=True))
    minibatches = np.log(learners["team/entropy_coefficient"] / scheduled) / np.log(first.entropy_decay)
    assert minibatches == pytest.approx(3 * 2, abs=1e-3)


def test_a_built_algorithm_takes_over_a_checkpoint_and_goes_back_to_it(killed_run: Path, build: Callable) -> None:
    checkpoint, afterwards = killed_run / "symbol_game" / "checkpoint", afterwards_of(killed_run, "symbol_game")
    algorithm = build(symbol_game())
    algorithm.restore_from_path(checkpoint)
    check_goes_on(algorithm, afterwards)
    algorithm.train()
    # What Tune calls, here on an algorithm that is ahead of the checkpoint.
    algorithm.restore(str(checkpoint))
    check_goes_on(algorithm, afterwards)


def test_a_state_in_memory_is_as_good(killed_run: Path, build: Callable) -> None:
    algorithm = build(symbol_game())
    algorithm.restore_from_path(killed_run / "symbol_game" / "checkpoint")
    state = pickle.loads(pickle.dumps(algorithm.get_state()))
    algorithm.train()
    algorithm.set_state(state)
    check_goes_on(algorithm, afterwards_of(killed_run, "symbol_game"))


def test_a_restored_run_goes_on_collecting_in_iterations_of_the_same_length(tmp_path: Path, build: Callable) -> None:
    config = symbol_game()
    config.env_runners(rollout_fragment_length=10).reporting(min_sample_timesteps_per_iteration=170)
    algorithm = build(config)
    lengths = [result["num_env_steps_sampled_lifetime"] for result in (algorithm.train(), algorithm.train())]
    # Rounds of 10 steps in 4 environments.
    assert lengths == [200, 400]
    restored = MAMBA.from_checkpoint(algorithm.save_to_path(tmp_path))
    result = restored.train()
    restored.stop()
    assert result["training_iteration"] == 3
    assert result["num_env_steps_sampled_lifetime"] == 600
    assert len(restored.replay_buffers["team"]) > 600
    assert restored.replay_buffers["team"].num_env_steps_added_lifetime == 600


def test_a_learner_in_a_process_of_its_own_goes_on(tmp_path: Path, build: Callable) -> None:
    algorithm = build(annealed().learners(num_learners=1))
    for _ in range(2):
        algorithm.train()
    before = weights(algorithm)
    algorithm.save_to_path(tmp_path)
    result = algorithm.train()
    afterwards = {
        "weights before": before,
        "learners": learner_results(result),
        "weights": weights(algorithm),
        "iteration": result["training_iteration"],
        "env steps": result["num_env_steps_sampled_lifetime"],
        "schedule": algorithm.update_schedule.get_state(),
    }
    # Where the learner is makes no difference, except that RLlib counts the sequences it sends to another process.
    counted = ("__all_modules__/num_env_steps_trained", "__all_modules__/num_env_steps_trained_lifetime")
    for num_learners in (1, 0):
        restored = build(annealed().learners(num_learners=num_learners))
        restored.restore_from_path(tmp_path)
        check_goes_on(restored, afterwards, but=() if num_learners else counted)


@pytest.mark.parametrize("num_env_runners", [0, 1])
def test_a_restored_run_does_not_meet_its_first_episodes_again(
    num_env_runners: int, tmp_path: Path, build: Callable
) -> None:
    config = symbol_game().env_runners(num_env_runners=num_env_runners)
    algorithm = build(config)
    algorithm.train()
    first = algorithm.replay_buffers["team"].windows([0, 12])["obs"]
    checkpoint = algorithm.save_to_path(tmp_path)
    seen = []
    for _ in range(1 if num_env_runners else 2):
        restored = MAMBA.from_checkpoint(checkpoint)
        known = len(restored.replay_buffers["team"])
        restored.train()
        restored.stop()
        seen.append(restored.replay_buffers["team"].windows([known, known + 12])["obs"])
    assert not np.array_equal(seen[0], first)
    # A restored run can be repeated, too.
    np.testing.assert_array_equal(seen[-1], seen[0])


def test_without_its_replay_a_restored_run_first_collects(tmp_path: Path, build: Callable) -> None:
    config = symbol_game(store_buffer_in_checkpoints=False, min_steps_before_learning=200)
    algorithm = build(config)
    for _ in range(4):
        algorithm.train()
    updates = algorithm.update_schedule.cycles_done
    algorithm.save_to_path(tmp_path)
    assert not list(tmp_path.glob("replay_buffer*"))
    restored = MAMBA.from_checkpoint(tmp_path)
    assert_same(weights(restored), weights(algorithm))
    assert len(restored.replay_buffers["team"]) == 0
    done = [restored.train()["learners"]["num_world_model_updates_lifetime"] for _ in range(5)]
    restored.stop()
    # 200 steps pass before it learns again, and it does not make up for them.
    assert done == [updates, updates, updates + 1, updates + 2, updates + 3]


def test_modules_load_on_their_own(killed_run: Path) -> None:
    saved = killed_run / "two_teams" / "checkpoint" / MODULES
    expected = afterwards_of(killed_run, "two_teams")["weights before"]
    both = MultiRLModule.from_checkpoint(saved)
    assert_same(dict(leaves(both.get_state())), expected)
    pair = RLModule.from_checkpoint(saved / "pair")
    assert_same(
        {f"pair/{name}": value for name, value in pair.get_state().items()},
        {name: value for name, value in expected.items() if name.startswith("pair/")},
    )


def test_weights_alone_may_be_taken_from_a_checkpoint(killed_run: Path, build: Callable) -> None:
    algorithm = build(symbol_game().environment(env_config={"num_agents": 5}))
    component = f"{MODULES}/team"
    algorithm.restore_from_path(killed_run / "symbol_game" / "checkpoint" / component, component=component)
    expected = afterwards_of(killed_run, "symbol_game")["weights before"]
    assert_same(weights(algorithm), expected)
    [acting] = acting_weights(algorithm)
    assert_same(acting, {name: expected[name] for name in acting})
    assert np.isfinite(algorithm.train()["env_runners"]["episode_return_mean"])


# ---------------------------------------------------------------------- checkpoints that cannot be used


@pytest.fixture(scope="module")
def algorithm() -> Iterator[MAMBA]:
    """An algorithm that refuses checkpoints."""
    algorithm = symbol_game().build_algo()
    yield algorithm
    algorithm.stop()


@pytest.fixture
def checkpoint(killed_run: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(killed_run / "symbol_game" / "checkpoint", tmp_path / "checkpoint"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"env_config": {"num_agents": 4}}, r"team 'team' has the agents \['player_0', 'player_1', 'player_2'\] there"),
        ({"env_config": {"num_symbols": 4}}, r"'obs' of team 'team' is \(3, 3\) there and \(3, 4\) here"),
        ({"env_config": {"num_symbols": 4}}, "number of actions of team 'team' is 3 there and 4 here"),
        ({"hidden_size": 64}, "hidden_size is 32 there and 64 here"),
        ({"communication": False}, "communication is True there and False here"),
    ],
    ids=["agents", "observations", "actions", "sizes", "communication"],
)
def test_a_checkpoint_of_another_shape_is_refused_with_what_differs(
    change: dict[str, Any], message: str, killed_run: Path, build: Callable
) -> None:
    other = build(symbol_game().update_from_dict(change))
    before = weights(other)
    with pytest.raises(ValueError, match=message) as raised:
        other.restore_from_path(killed_run / "symbol_game" / "checkpoint")
    assert "does not fit this algorithm" in str(raised.value)
    assert_same(weights(other), before)


def test_a_checkpoint_of_other_teams_is_refused(killed_run: Path, algorithm: MAMBA) -> None:
    with pytest.raises(ValueError, match=r"its teams are \['lone', 'pair'\], here they are \['team'\]"):
        algorithm.restore_from_path(killed_run / "two_teams" / "checkpoint")


PICKLES = [
    "algorithm_state.pkl",
    "class_and_ctor_args.pkl",
    "learner_group/learner/state.pkl",
    f"{MODULES}/team/module_state.pkl",
    "replay_buffer_team/state.pkl",
]


@pytest.mark.parametrize("name", PICKLES)
def test_a_file_that_was_cut_off_is_named(name: str, checkpoint: Path, algorithm: MAMBA) -> None:
    content = (checkpoint / name).read_bytes()
    for size in (0, len(content) // 2):
        (checkpoint / name).write_bytes(content[:size])
        before = weights(algorithm)
        with pytest.raises(ValueError, match="damaged") as raised:
            algorithm.restore_from_path(checkpoint)
        assert str(checkpoint / name) in str(raised.value)
        assert_same(weights(algorithm), before)
        with pytest.raises(ValueError, match="damaged"):
            MAMBA.from_checkpoint(checkpoint)


def test_a_file_of_garbage_is_an_error(checkpoint: Path, algorithm: MAMBA) -> None:
    file = checkpoint / "replay_buffer_team" / "state.pkl"
    file.write_bytes(b"\x00" * 100 + pickle.STOP)
    with pytest.raises(ValueError, match="damaged"):
        algorithm.restore_from_path(checkpoint)


@pytest.mark.parametrize("name", ["replay_buffer_team", "learner_group", f"{MODULES}/team", "algorithm_state.pkl"])
def test_a_missing_part_is_an_error(name: str, checkpoint: Path, algorithm: MAMBA) -> None:
    part = checkpoint / name
    shutil.rmtree(part) if part.is_dir() else part.unlink()
    with pytest.raises(FileNotFoundError, match="is incomplete") as raised:
        algorithm.restore_from_path(checkpoint)
    assert str(part if part.suffix == "" else part.parent) in str(raised.value)


def test_a_missing_checkpoint_is_an_error(tmp_path: Path, algorithm: MAMBA) -> None:
    for restore in (algorithm.restore_from_path, MAMBA.from_checkpoint):
        with pytest.raises(FileNotFoundError, match=f"no checkpoint directory {tmp_path / 'none'}"):
            restore(tmp_path / "none")
        with pytest.raises(FileNotFoundError, match=Checkpointable.CLASS_AND_CTOR_ARGS_FILE_NAME):
            restore(tmp_path)
