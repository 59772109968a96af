import pytest
from ray.rllib.algorithms.ppo import PPOConfig

from rllib_mamba.algorithms.mamba.config import MAMBAConfig
from rllib_mamba.cli.errors import UsageError
from rllib_mamba.cli.settings import apply_preset, apply_settings, parse_settings, parse_stop


def configured(*texts: str) -> PPOConfig:
    config = PPOConfig()
    apply_settings(config, parse_settings(texts))
    return config


def test_key_value_and_json_later_ones_winning() -> None:
    config = configured('{"lr": 0.1, "gamma": 0.5}', "lr=2e-3", "clip_actions=true", "rollout_fragment_length=auto")

    assert (config.lr, config.gamma, config.clip_actions) == (0.002, 0.5, True)
    assert config.rollout_fragment_length == "auto"


def test_settings_go_through_the_methods_that_own_them() -> None:
    config = configured('policies=["a", "b"]', "lambda=0.9", "train_batch_size_per_learner=77")

    assert set(config.policies) == {"a", "b"}
    assert config.lambda_ == 0.9
    assert config.train_batch_size_per_learner == 77


def test_groups_are_merged() -> None:
    config = PPOConfig().environment(env_config={"size": 3, "rules": {"fast": False, "wide": True}})
    config.rl_module(model_config={"fcnet_hiddens": [8], "fcnet_activation": "relu"})

    apply_settings(config, parse_settings(["env_config.rules.fast=true", '{"model_config": {"fcnet_hiddens": [4]}}']))

    assert config.env_config == {"size": 3, "rules": {"fast": True, "wide": True}}
    assert config.model_config["fcnet_hiddens"] == [4]
    assert config.model_config["fcnet_activation"] == "relu"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gama=0.9", "no setting 'gama'. Did you mean gamma"),
        ("num_env_runner=1", "num_env_runners"),
        ("gamma=high", "gamma needs a value like 0.99"),
        ("gamma.x=1", "single value"),
        ("gamma", "expected a JSON object or key=value"),
        ('{"gamma": }', "is not JSON"),
        ("policies=3", "refused"),
    ],
)
def test_wrong_settings_are_named(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        configured(text)


def test_settings_of_our_algorithm_are_known_by_name() -> None:
    config = MAMBAConfig()

    apply_settings(config, parse_settings(["horizon=7"]))

    assert config.horizon == 7
    with pytest.raises(UsageError, match="horizon"):
        apply_settings(config, parse_settings(["horizn=7"]))


def test_presets() -> None:
    config = MAMBAConfig()
    default = config.hidden_size

    apply_preset(config, "debug")

    assert config.hidden_size < default
    with pytest.raises(UsageError, match="debug"):
        apply_preset(MAMBAConfig(), "debugg")
    with pytest.raises(UsageError, match="no presets"):
        apply_preset(PPOConfig(), "small")


def test_stop_criteria_are_flat_and_old_names_are_understood() -> None:
    criteria = parse_stop({"env_runners": {"episode_return_mean": 5}, "timesteps_total": 100})

    assert criteria == {"env_runners/episode_return_mean": 5, "num_env_steps_sampled_lifetime": 100}
    assert parse_stop({"episode_reward_mean": 1.5}) == {"env_runners/episode_return_mean": 1.5}
    with pytest.raises(UsageError, match="needs a number"):
        parse_stop({"training_iteration": "many"})
