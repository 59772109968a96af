"""Values to search, as people write them, and what is wrong with them before anything starts."""

from pathlib import Path
from typing import Any

import pytest
from ray import tune
from ray.rllib.algorithms.ppo import PPOConfig
from ray.tune.schedulers import AsyncHyperBandScheduler, HyperBandScheduler, MedianStoppingRule

from rllib_mamba.cli.errors import UsageError
from rllib_mamba.cli.experiment import Experiment, experiment_from_options
from rllib_mamba.cli.files import experiments_from_file
from rllib_mamba.cli.options import TrainOptions
from rllib_mamba.cli.search_space import extremes, leaves, read_search_space
from rllib_mamba.cli.settings import parse_settings
from rllib_mamba.tuning import PopulationBasedTraining, WaitForMetric

MUTATIONS = '{"hyperparam_mutations": {"actor_lr": "loguniform:1e-4,1e-2", "loss_scales.reward": [1, 10]}}'


def space(*texts: str) -> dict[str, Any]:
    return dict(leaves(read_search_space(parse_settings(texts))))


def experiment(*config: str, algo: str = "MAMBA", env: str = "symbol_game", **options: Any) -> Experiment:
    return experiment_from_options(TrainOptions(algo=algo, env=env, config=list(config), **options))


def test_words_become_what_tune_searches() -> None:
    searched = space(
        "lr=grid:1e-3,3e-4",
        "norm=choice:batch, layer,null",
        "entropy=choice:[[0,0.1],[100,0.01]],0.05",
        "env_config.wind=uniform:0,1",
        '{"loss_scales": {"reward": "loguniform:0.1,10"}, "group.size": "randint:2,9"}',
        "gamma=quniform:0.9,0.99,0.01",
        "plain=module:Class",
    )
    assert searched["lr"] == tune.grid_search([1e-3, 3e-4])
    assert searched["norm"].categories == ["batch", "layer", None]
    assert searched["entropy"].categories == [[[0, 0.1], [100, 0.01]], 0.05]
    assert extremes(searched["env_config.wind"]) == [0, pytest.approx(1)]
    assert extremes(searched["env_config.wind"])[1] < 1
    drawn = [searched["loss_scales.reward"].sample() for _ in range(200)]
    assert 0.1 <= min(drawn) < 1 < max(drawn) <= 10
    assert extremes(searched["group.size"]) == [2, 8]
    assert {round(searched["gamma"].sample() * 100, 6) for _ in range(100)} <= set(range(90, 100))
    assert searched["plain"] == "module:Class"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr=uniform:1", "--config: lr: 'uniform:1' does not have the right numbers; expected uniform:low,high"),
        ("lr=uniform:1,a", "holds something that is no number"),
        ("lr=uniform:2,1", "the lower bound is not below the upper one"),
        ("a.b=loguniform:0,1", "a.b: 'loguniform:0,1': the lower bound has to be above 0"),
        ("lr=randint:1.5,3", "needs integers"),
        ("lr=quniform:0,1,0.3", "multiples of the step"),
        ("lr=quniform:0,1,0", "the step has to be above 0"),
        ("lr=grid:", "has no values; expected grid:value,value"),
        ("lr=logunifrm:1,2", "'logunifrm' is no kind of search. Did you mean loguniform"),
    ],
)
def test_what_is_wrong_with_a_range_is_said(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        space(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gamma=uniform:0.9,1.1", "gamma=1.09.* is refused: .*expected a number in .0, 1"),
        ("gamma=choice:0.9,high", "gamma needs a value like .*, got the text 'high'"),
        ("horizon=randint:1,9", "horizon=1 is refused: horizon=1 is out of range: expected an integer of at least 2"),
        ("loss_scales.rewards=uniform:1,2", "loss_scales.rewards.* expected names among"),
        ("hidden_sise=grid:8,16", "no setting 'hidden_sise'. Did you mean hidden_size"),
        ("env_config.episode_length=grid:5,0", "env_config.episode_length=0 is refused"),
        ("actor_lr=logunif:1,2", "Did you mean loguniform"),
    ],
)
def test_values_that_the_algorithm_refuses_are_found_before_anything_starts(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        experiment(text)


def test_the_configuration_has_the_most_that_a_trial_may_ask_for() -> None:
    made = experiment(
        "num_env_runners=grid:0,2,1", "gamma=uniform:0.9,1", "loss_scales.reward=choice:1,5", num_samples=3
    )
    assert (made.config.num_env_runners, made.config.loss_scales) == (2, {"reward": 5})
    assert made.num_trials == 9
    assert set(dict(leaves(made.sweep.space))) == {"num_env_runners", "gamma", "loss_scales.reward"}


def test_a_file_may_hold_what_is_searched(tmp_path: Path) -> None:
    file = tmp_path / "sweep.py"
    file.write_text(
        "from ray import tune\n"
        "from rllib_mamba import MAMBAConfig\n"
        "config = MAMBAConfig().environment('symbol_game', env_config={'episode_length': tune.randint(4, 9)})\n"
        "config.training(actor_lr=tune.grid_search([1e-3, 1e-4]), gamma=tune.uniform(0.9, 0.99))\n"
    )
    [made] = experiments_from_file(file, TrainOptions(config=["gamma=0.95"]))
    assert set(dict(leaves(made.sweep.space))) == {"env_config.episode_length", "actor_lr"}
    assert (made.config.gamma, made.config.actor_lr, made.config.env_config["episode_length"]) == (0.95, 1e-3, 8)
    assert made.num_trials == 2


# ---------------------------------------------------------------------- schedulers and search algorithms


def test_schedulers_last_as_long_as_trials_do() -> None:
    steps = {"stop_timesteps": 16_000, "num_samples": 4}
    asha = experiment("actor_lr=loguniform:1e-4,1e-3", scheduler="asha", **steps).tune_config
    assert isinstance(asha.scheduler, AsyncHyperBandScheduler)
    assert asha.scheduler._time_attr == "num_env_steps_sampled_lifetime"
    assert asha.scheduler._max_t == 16_000
    assert asha.scheduler._brackets[0]._rungs[-1][0] == 1_000
    assert (asha.metric, asha.mode) == ("env_runners/episode_return_mean", "max")

    median = experiment(scheduler="median", stop_iters=160, metric="learners/x", mode="min").tune_config
    assert isinstance(median.scheduler, MedianStoppingRule)
    assert (median.scheduler._time_attr, median.scheduler._grace_period) == ("training_iteration", 10)
    assert (median.metric, median.mode) == ("learners/x", "min")

    hyperband = experiment(scheduler="hyperband", scheduler_config='{"max_t": 27, "metric": "a", "mode": "min"}')
    assert isinstance(hyperband.tune_config.scheduler, HyperBandScheduler)
    assert hyperband.tune_config.scheduler._max_t_attr == 27
    assert (hyperband.tune_config.metric, hyperband.tune_config.mode) == ("a", "min")

    [note] = experiment(scheduler="asha", stop_reward=3.0).notes
    assert "ends trials at training_iteration 100, its max_t" in note


def test_a_population_perturbs_what_is_named_or_what_is_searched() -> None:
    named = experiment(scheduler="pbt", scheduler_config=MUTATIONS, num_samples=2, stop_iters=80)
    assert isinstance(named.tune_config.scheduler, PopulationBasedTraining)
    mutations = named.tune_config.scheduler._hyperparam_mutations
    assert extremes(mutations["actor_lr"]) == [1e-4, pytest.approx(1e-2)]
    assert mutations["loss_scales"] == {"reward": [1, 10]}
    assert named.tune_config.scheduler._perturbation_interval == 10
    # Others go on from checkpoints, which must not be gone by then.
    assert named.run_config.checkpoint_config.num_to_keep > 2

    searched = experiment("entropy_coeff=loguniform:1e-3,1e-1", "gamma=grid:0.9,0.99", scheduler="pbt")
    mutations = searched.tune_config.scheduler._hyperparam_mutations
    assert set(mutations) == {"entropy_coeff", "gamma"}
    assert mutations["gamma"] == [0.9, 0.99]


def test_optuna_waits_for_the_metric() -> None:
    search = experiment("gamma=uniform:0.9,0.99", search="optuna", seed=3).tune_config.search_alg
    assert isinstance(search, WaitForMetric)
    search.set_search_properties(None, None, {"gamma": tune.uniform(0.9, 0.99)})
    assert 0.9 <= search.suggest("trial")["gamma"] <= 0.99
    search.on_trial_result("trial", {"training_iteration": 1})
    search.on_trial_result("trial", {"training_iteration": 2, "env_runners/episode_return_mean": 4.0})
    search.on_trial_complete("trial", {"training_iteration": 3, "env_runners/episode_return_mean": 5.0})
    [told] = search.wrapped._ot_study.trials
    assert (told.intermediate_values, told.value) == ({2: 4.0}, 5.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scheduler": "pbtt"}, "'pbtt' is none of Tune's .* Did you mean pbt"),
        ({"scheduler": "asha", "scheduler_config": '{"grace": 3}'}, "no argument 'grace'. Did you mean .*grace_period"),
        ({"scheduler": "asha", "scheduler_config": '{"grace_period": 0}'}, "grace_period must be positive"),
        ({"scheduler_config": "{}"}, "--scheduler-config needs --scheduler"),
        ({"scheduler": "pbt", "num_samples": 2}, "needs to know what to perturb"),
        ({"scheduler": "pbt"}, "needs a population: give --num-samples of at least 2"),
        (
            {"scheduler": "pbt", "num_samples": 2, "scheduler_config": '{"hyperparam_mutations": {"lrr": [1, 2]}}'},
            "hyperparam_mutations: MAMBAConfig has no setting 'lrr'",
        ),
        (
            {"scheduler": "pbt", "num_samples": 2, "scheduler_config": '{"hyperparam_mutations": {"gamma": [2, 3]}}'},
            "hyperparam_mutations: gamma=2 is refused",
        ),
        ({"search": "optunna"}, "'optunna' is none of Tune's .* Did you mean optuna"),
        ({"search": "optuna"}, "has nothing to search"),
        ({"search": "optuna", "config": ["gamma=grid:0.9,0.99"]}, "cannot go through a grid: write choice:"),
        (
            {"search": "optuna", "config": ["gamma=choice:0.9,0.99"], "scheduler": "pbt", "num_samples": 2},
            "--search optuna does not go with --scheduler pbt",
        ),
        ({"search": "hyperopt", "config": ["gamma=choice:0.9,0.99"]}, "not installed: pip install hyperopt"),
        ({"config": ["gamma=choice:0.9,0.99"], "no_tune": True}, "need Tune: leave out --no-tune"),
        ({"metric": "evaluation/env_runners/episode_return_mean"}, "set --evaluation-interval as well"),
        ({"mode": "maximum"}, "'maximum' is neither max nor min"),
    ],
)
def test_wrong_sweeps_are_one_clear_line(options: dict[str, Any], message: str) -> None:
    given = {"algo": "MAMBA", "env": "symbol_game", **options}
    with pytest.raises(UsageError, match=message):
        experiment_from_options(TrainOptions(**given))


def test_algorithms_of_rllib_are_searched_as_well() -> None:
    made = experiment(
        "lr=loguniform:1e-5,1e-3", "model_config.fcnet_hiddens=choice:[8],[16,16]", algo="PPO", env="CartPole-v1"
    )
    assert isinstance(made.config, PPOConfig)
    assert made.config.model_config["fcnet_hiddens"] == [8]
    with pytest.raises(UsageError, match="minibatch_size=100000 is refused"):
        experiment("minibatch_size=choice:64,100000", algo="PPO", env="CartPole-v1")
