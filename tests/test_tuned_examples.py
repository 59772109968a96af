"""Every tuned example is a documented experiment that its algorithm accepts."""

import ast
import importlib.util
import runpy
import sys
from itertools import product
from typing import Any

import pytest
from ray.rllib.env.env_context import EnvContext

from rllib_mamba.cli.examples import Example, find_examples
from rllib_mamba.registry import get_algorithm_class

ALGORITHMS = ("mamba", "mappo", "qmix")
ENVIRONMENTS = (
    *(f"flatland_{trains}_agents" for trains in (5, 10, 15, 20)),
    "flatland_5_agents_small",
    *(f"smax_{scenario}" for scenario in ("3m", "2s3z", "8m", "3s_vs_5z", "smacv2_5_units")),
    *(f"smac_{name}" for name in ("3m", "2s3z", "3s_vs_5z", "corridor", "2c_vs_64zg")),
    "simple_spread",
    "level_based_foraging",
)
EXAMPLES = {example.name: example for example in find_examples()}
#: The largest and the smallest networks of each algorithm, and every kind of environment.
BUILT = (
    "flatland_20_agents",
    "flatland_5_agents_small",
    "smax_smacv2_5_units",
    "simple_spread",
    "level_based_foraging",
)


def settings_of(example: Example) -> dict[str, Any]:
    return runpy.run_path(str(example.file))


def test_there_is_one_for_every_algorithm_and_environment():
    wanted = {f"{algorithm}/{environment}" for algorithm, environment in product(ALGORITHMS, ENVIRONMENTS)}
    assert wanted - set(EXAMPLES) == set()


@pytest.mark.parametrize("name", EXAMPLES)
def test_it_says_what_to_expect_and_how_long_it_takes(name: str):
    said = ast.get_docstring(ast.parse(EXAMPLES[name].file.read_text()))
    assert "Budget: " in said
    assert "Expected: " in said or "docs/benchmarks.md" in said
    assert f"    rllib example run {name}" in said or f"    rllib train file tuned_examples/{name}.py" in said
    # What it says is where it stops.
    assert f"Budget: {EXAMPLES[name].budget}" in said


@pytest.mark.parametrize("name", EXAMPLES)
def test_its_algorithm_accepts_it(name: str):
    algorithm, environment = name.split("/")
    config = settings_of(EXAMPLES[name])["config"]
    assert config.algo_class is get_algorithm_class(algorithm.upper())
    if environment.startswith("smac_"):
        # Without the game, everything but the game.
        config.environment("symbol_game")
    try:
        config.validate()
    except ImportError as error:
        pytest.skip(f"not installed: {error}")
    assert config.trained_teams == ["team"]


@pytest.mark.parametrize("name", [f"{algorithm}/{name}" for algorithm, name in product(ALGORITHMS, BUILT)])
def test_its_networks_are_built(name: str):
    config = settings_of(EXAMPLES[name])["config"]
    try:
        config.validate()
    except ImportError as error:
        pytest.skip(f"not installed: {error}")
    environment = config.env(EnvContext(config.env_config, worker_index=0))
    try:
        spaces = {"team": (environment.observation_spaces["team"], environment.action_spaces["team"])}
    finally:
        environment.close()
    module = config.get_multi_rl_module_spec(spaces=spaces).build()
    assert sum(parameter.numel() for parameter in module["team"].parameters()) > 0


def test_smac_without_the_game_says_what_is_missing():
    config = settings_of(EXAMPLES["mappo/smac_corridor"])["config"]
    found = importlib.util.find_spec("smac")
    if found is not None and found.origin is not None:
        pytest.skip("smac is installed")
    with pytest.raises(ImportError, match="the SMAC environment needs the package smac"):
        config.validate()
    # A mere folder of that name, as that of the tests of SMAC, would keep RLlib from building its connectors.
    assert "smac" not in sys.modules


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_algorithm_is_built_from_it(algorithm: str, ray_cluster: None):
    pytest.importorskip("mpe2")
    config = settings_of(EXAMPLES[f"{algorithm}/simple_spread"])["config"]
    built = config.build_algo()
    try:
        assert built.get_policy().layout.agents[0].agent == "agent_0"
    finally:
        built.stop()
