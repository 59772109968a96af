"""Population-based training under Ray Tune: a trial goes on from another's checkpoint with other learning rates."""

import pickle
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ray import tune
from runs import leaves

from rllib_mamba import MAMBA, MAMBAConfig
from rllib_mamba.algorithms.restoring import MODULES
from rllib_mamba.tuning import PopulationBasedTraining

ITERATIONS_BEFORE, ITERATIONS = 3, 5
SCHEDULE = [[0, 5e-4], [10_000, 1e-4]]


def weights_of(checkpoint: Path) -> dict[str, np.ndarray]:
    state = pickle.loads((checkpoint / MODULES / "team" / "module_state.pkl").read_bytes())
    return {name: np.asarray(value) for name, value in leaves(state)}


def steps_of_optimizer(checkpoint: Path, name: str) -> float:
    state = pickle.loads((checkpoint / "learner_group" / "learner" / "state.pkl").read_bytes())
    moments = state["optimizer"][f"team_{name}"]["state"]["state"]
    return float(next(iter(moments.values()))["step"])


def one_is_saving_when_the_other_arrives(folder: Path) -> tuple[type[MAMBA], type[PopulationBasedTraining]]:
    """MAMBA and a scheduler: when the trial with seed 2 is done with three iterations, that with seed 1 is saving."""
    saving, taken_over = folder / "saving", folder / "taken over"

    # Made here, all of it, so that it can be sent to processes that cannot import this file.
    def wait_for(file: Path) -> None:
        deadline = time.monotonic() + 120
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.02)

    class Ordered(MAMBA):
        def training_step(self) -> None:
            super().training_step()
            if self.config.seed == 2 and self.iteration == ITERATIONS_BEFORE - 1:
                wait_for(saving)

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            if self.config.seed == 1 and self.iteration == ITERATIONS_BEFORE:
                saving.touch()
                wait_for(taken_over)
            super().save_checkpoint(checkpoint_dir)

    class Scheduler(PopulationBasedTraining):
        def _exploit(self, *args: Any) -> None:
            taken_over.touch()
            super()._exploit(*args)

    return Ordered, Scheduler


@pytest.fixture(scope="module")
def population(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tune.Result]:
    """Two trials of which the one with the lower seed has to go on from the other after three iterations.

    It is still saving itself when it has to. From then on its world-model and actor learning rates are so small that
    nothing can change any more.
    """
    config = MAMBAConfig().environment("symbol_game", env_config={"episode_length": 5}).preset("debug")
    config.debugging(seed=tune.grid_search([1, 2]), log_level="ERROR").training(actor_lr=SCHEDULE)
    ordered, ordered_scheduler = one_is_saving_when_the_other_arrives(tmp_path_factory.mktemp("order"))
    scheduler = ordered_scheduler(
        time_attr="training_iteration",
        metric="config/seed",
        mode="max",
        perturbation_interval=ITERATIONS_BEFORE,
        hyperparam_mutations={"world_model_lr": tune.loguniform(1e-40, 1e-2), "actor_lr": tune.loguniform(1e-40, 1e-2)},
        quantile_fraction=0.5,
        resample_probability=0.0,
        perturbation_factors=(1e-27, 1e-27),
        synch=True,
    )
    results = tune.Tuner(
        ordered,
        param_space=config,
        tune_config=tune.TuneConfig(scheduler=scheduler),
        run_config=tune.RunConfig(
            storage_path=str(tmp_path_factory.mktemp("population")),
            name="experiment",
            stop={"training_iteration": ITERATIONS},
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=1, checkpoint_at_end=True),
            verbose=0,
        ),
    ).fit()
    assert results.num_errors == 0, results.errors
    trials = {"better" if result.config["world_model_lr"] > 1e-20 else "other": result for result in results}
    assert set(trials) == {"better", "other"}
    return trials


def taken(population: dict[str, tune.Result]) -> Path:
    """The checkpoint that the other trial went on from."""
    return Path(population["better"].path) / f"checkpoint_{ITERATIONS_BEFORE - 1:06d}"


def test_weights_are_those_of_the_other_and_stay_so_with_rates_of_next_to_nothing(
    population: dict[str, tune.Result],
) -> None:
    before = weights_of(taken(population))
    after = weights_of(Path(population["other"].checkpoint.path))
    assert before.keys() == after.keys()
    moved = {name.partition(".")[0] for name in before if not np.array_equal(before[name], after[name])}
    # Only the critic's rate was left alone.
    assert moved == {"critic"}
    better = weights_of(Path(population["better"].checkpoint.path))
    assert any(not np.array_equal(before[name], better[name]) for name in before if "world_model" in name)


def test_results_show_the_rates_that_hold(population: dict[str, tune.Result]) -> None:
    result = population["other"].metrics
    assert result["learners"]["team"]["world_model_learning_rate"] == pytest.approx(2e-31)
    steps = result["num_env_steps_sampled_lifetime"]
    assert population["other"].config["actor_lr"] == [[0, pytest.approx(5e-31)], [10_000, pytest.approx(1e-31)]]
    assert 1e-31 < result["learners"]["team"]["actor_learning_rate"] < 5e-31 * (1 - 0.5 * steps / 10_000)


def test_the_replay_goes_along(population: dict[str, tune.Result]) -> None:
    rows = {}
    for name, result in population.items():
        algorithm = MAMBA.from_checkpoint(result.checkpoint.path)
        rows[name] = algorithm.replay_buffers["team"].windows([0, 100, 200])["obs"]
        algorithm.stop()
    np.testing.assert_array_equal(rows["other"], rows["better"])


def test_optimizers_and_counters_go_along(population: dict[str, tune.Result]) -> None:
    other, better = (Path(population[name].checkpoint.path) for name in ("other", "better"))
    assert population["other"].metrics["training_iteration"] == ITERATIONS
    assert steps_of_optimizer(other, "world_model") == steps_of_optimizer(better, "world_model")
    assert steps_of_optimizer(other, "world_model") > steps_of_optimizer(taken(population), "world_model") > 0
    counted = "num_env_steps_sampled_lifetime"
    assert population["other"].metrics[counted] == population["better"].metrics[counted]


def explored(config: dict[str, Any], **arguments: Any) -> dict[str, Any]:
    scheduler = PopulationBasedTraining(metric="x", mode="max", **arguments)
    return scheduler._get_new_config(None, SimpleNamespace(config=config))[0]


def test_a_schedule_is_perturbed_as_a_whole() -> None:
    config = {
        "lr": SCHEDULE,
        "entropy_coeff": [[0, 0.0], [100, 0.4]],
        "nested": {"scale": 4.0, "other": 1},
        "gamma": 0.9,
    }
    mutations = {
        "lr": tune.loguniform(1e-6, 1e-2),
        "entropy_coeff": tune.uniform(0.0, 0.3),
        "nested": {"scale": tune.uniform(0.0, 10.0)},
        "gamma": tune.uniform(0.8, 0.99),
    }
    doubled = explored(
        config, hyperparam_mutations=mutations, resample_probability=0.0, perturbation_factors=(2.0, 2.0)
    )
    assert doubled == {
        "lr": [[0, 1e-3], [10_000, 2e-4]],
        # Bounded by the interval: the largest value is 0.3.
        "entropy_coeff": [[0, 0.0], [100, pytest.approx(0.3)]],
        "nested": {"scale": 8.0, "other": 1},
        "gamma": 0.99,
    }
    drawn = explored(config, hyperparam_mutations={"lr": tune.uniform(0.009, 0.01)}, resample_probability=1.0)
    assert 0.009 <= drawn["lr"][0][1] <= 0.01
    assert drawn["lr"][1][1] == pytest.approx(drawn["lr"][0][1] / 5)


def test_schedules_may_be_chosen_from_a_list() -> None:
    other = [[0, 1e-3], [5_000, 1e-4]]
    chosen = explored({"lr": SCHEDULE}, hyperparam_mutations={"lr": [other, SCHEDULE]}, resample_probability=0.0)
    assert chosen["lr"] in (other, SCHEDULE)
