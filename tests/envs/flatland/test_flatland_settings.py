import subprocess
import sys

import pytest

pytest.importorskip("flatland")

from rllib_mamba.envs.flatland import PRESETS, FlatlandEnv, FlatlandSettings


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
    assert limits["flatland_20_agents"] == 8 * 100 + 26


def test_without_flatland_only_its_environment_is_missing_and_the_error_names_the_pip_line() -> None:
    program = "import sys; sys.modules['flatland'] = None; import rllib_mamba.envs; print('imported'); "
    program += "import rllib_mamba.envs.flatland"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.stdout == "imported\n", result.stderr
    assert result.returncode != 0
    assert result.stderr.strip().splitlines()[-1] == (
        'ImportError: the Flatland environment needs flatland-rl: pip install "rllib-mamba[flatland]"'
    )
