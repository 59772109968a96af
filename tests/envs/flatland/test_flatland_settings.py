import ast
import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("flatland")

from ray.rllib.env.env_context import EnvContext

from rllib_mamba.envs.flatland import PRESETS, FlatlandEnv, FlatlandSettings
from rllib_mamba.envs.flatland.launchers import LAUNCHERS
from rllib_mamba.envs.flatland.observers import OBSERVATIONS
from rllib_mamba.envs.flatland.rewards import REWARDS
from rllib_mamba.registry import make_environment


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"number_of_trians": 5}, "did you mean 'number_of_trains'"),
        ({"zzz": 1}, "known are number_of_trains, max_number_of_trains"),
        ({"number_of_trains": 0}, "number_of_trains must be at least 1"),
        ({"number_of_cities": 1}, "number_of_cities must be at least 2"),
        ({"malfunction_rate": -0.1}, "malfunction_rate must be at least 0"),
        ({"min_malfunction_duration": 30, "max_malfunction_duration": 20}, "max_malfunction_duration must be at least"),
        ({"launcher": "tomorrow"}, "unknown launcher 'tomorrow': known are all_at_once, shortest_path_first"),
        ({"seed": -1}, "seed must be None or at least 0"),
        ({"width": 12, "height": 12}, "do not fit on a map of 12 rows and 12 columns"),
        ({"number_of_cities": 10}, r"10 cities .* do not fit .* \(room for 9\)"),
    ],
)
def test_values_out_of_range(config: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FlatlandEnv(config)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"number_of_trains": 2.5}, "number_of_trains must be an integer"),
        ({"width": True}, "width must be an integer"),
        ({"malfunction_rate": "often"}, "malfunction_rate must be a finite number"),
        ({"unreachable_distance": float("nan")}, "unreachable_distance must be a finite number"),
        ({"seed": 1.5}, "seed must be an integer or None"),
    ],
)
def test_values_of_the_wrong_type(config: dict, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        FlatlandEnv(config)


def test_episode_limits_are_the_papers() -> None:
    limits = {name: FlatlandSettings.from_config(preset).episode_limit for name, preset in PRESETS.items()}
    assert limits["flatland_5_agents"] == 8 * 70 + 13
    assert limits["flatland_10_agents"] == 8 * 70 + 20
    assert limits["flatland_15_agents"] == 8 * 100 + 20
    assert limits["flatland_20_agents"] == 8 * 100 + 26


EVERY_OPTION = {
    "number_of_trains": 2,
    "max_number_of_trains": 4,
    "width": 40,
    "height": 41,
    "number_of_cities": 2,
    "max_rails_between_cities": 3,
    "max_rail_pairs_in_city": 3,
    "malfunction_rate": 0.5,
    "min_malfunction_duration": 3,
    "max_malfunction_duration": 4,
    "rewards": {"every_step": -1.0},
    "unreachable_distance": 99.0,
    "launcher": "network_load",
    "window": {"per_train": 0.5},
    "observation": "features",
    "tree_depth": 2,
    "scaled_features": True,
    "action_masks": True,
    "seed": 5,
}


@pytest.mark.parametrize("name", PRESETS)
def test_every_option_of_every_name_is_settable(name: str) -> None:
    assert EVERY_OPTION.keys() == {field.name for field in dataclasses.fields(FlatlandSettings)}
    env = make_environment(name, EnvContext(EVERY_OPTION, worker_index=0))
    assert dataclasses.asdict(env.settings) == EVERY_OPTION
    assert len(env.possible_agents) == 4


def test_the_number_of_trains_is_what_the_name_says() -> None:
    for number in (5, 10, 15, 20):
        env = make_environment(f"flatland_{number}_agents", EnvContext({}, worker_index=0))
        assert len(env.possible_agents) == env.settings.number_of_trains == number


def test_everything_is_documented() -> None:
    text = (Path(__file__).parents[3] / "docs" / "environments.md").read_text()
    for name in [*EVERY_OPTION, *PRESETS, *REWARDS, *LAUNCHERS, *OBSERVATIONS]:
        assert f"`{name}`" in text, name
    documented = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (`[^`]+`(?:, `[^`]+`)*) \|", text, re.MULTILINE)
    defaults = {
        option.strip("`"): ast.literal_eval(value.strip("`"))
        for options, values in documented
        for option, value in zip(options.split(", "), values.split(", "), strict=False)
        if option.strip("`") in EVERY_OPTION
    }
    assert defaults.keys() == EVERY_OPTION.keys() - {"rewards"}
    settings = FlatlandSettings()
    assert defaults == {name: getattr(settings, name) for name in defaults}


def test_without_flatland_only_its_environment_is_missing_and_the_error_names_the_pip_line() -> None:
    program = "import sys; sys.modules['flatland'] = None; import rllib_mamba.envs; print('imported'); "
    program += "import rllib_mamba.envs.flatland"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.stdout == "imported\n", result.stderr
    assert result.returncode != 0
    assert result.stderr.strip().splitlines()[-1] == (
        'ImportError: the Flatland environment needs flatland-rl: pip install "rllib-mamba[flatland]"'
    )
