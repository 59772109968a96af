"""MAMBA's options: presets, validation, teams."""

import pytest

from rllib_mamba import MAMBAConfig
from rllib_mamba.algorithms.mamba.presets import PAPER, PRESETS
from rllib_mamba.teams import ConfiguredTeamEnv


def symbol_game_config() -> MAMBAConfig:
    return MAMBAConfig().environment("symbol_game").preset("debug")


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_sets_known_options_and_is_valid(name: str) -> None:
    config = MAMBAConfig().environment("symbol_game").preset(name)
    config.validate()
    for option, value in PRESETS[name].items():
        assert getattr(config, option) == value


def test_paper_wins_over_a_size_in_either_order() -> None:
    for names in (["paper", "small"], ["small", "paper"]):
        config = MAMBAConfig().environment("symbol_game")
        for name in names:
            config.preset(name)
        config.validate()
        assert {option: getattr(config, option) for option in PAPER} == PAPER
        assert config.hidden_size == PRESETS["small"]["hidden_size"]


def test_an_option_that_contradicts_paper_is_named() -> None:
    config = MAMBAConfig().environment("symbol_game").preset("paper").training(mask_dead_agents=True)
    with pytest.raises(ValueError, match=r"contradict the preset 'paper': mask_dead_agents=True \(paper: False\)"):
        config.validate()


def test_two_sizes_contradict_each_other() -> None:
    with pytest.raises(ValueError, match="'smac' and 'flatland' contradict"):
        MAMBAConfig().preset("smac").preset("flatland")


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="Did you mean 'paper'"):
        MAMBAConfig().preset("papr")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("hidden_size", 0, "at least 1"),
        ("hidden_size", 2.5, "at least 1"),
        ("horizon", 1, "at least 2"),
        ("sequence_length", 3, "at least 4"),
        ("gamma", 1.5, r"\(0, 1\]"),
        ("gamma", float("nan"), r"\(0, 1\]"),
        ("communication_dropout", 1.0, r"\[0, 1\)"),
        ("world_model_lr", 0.0, "positive number or a schedule"),
        ("actor_lr", [[5, 1e-3]], "positive number or a schedule"),
        ("critic_grad_clip_by_global_norm", -1.0, "above 0, or None"),
        ("mask_dead_agents", "yes", "True or False"),
        ("replay_observation_dtype", "float64", "'float32', 'float16'"),
        ("loss_scales", {"rewards": 2.0}, "names among reconstruction, reward"),
        ("loss_scales", {"reward": -1.0}, "at least 0"),
        ("update_every", 0, "at least 1, or 'episode'"),
        ("team_reward", "max", "'mean', 'sum'"),
        ("agent_reset_steps", 2000, "each above the one before"),
        ("agent_reset_steps", [2000, 1000], "each above the one before"),
        ("agent_reset_steps", [0], "at least 1"),
        ("agent_updates_after_reset", -1, "at least 0"),
        ("overlap_acting", 1, "True or False"),
        ("max_weights_staleness", 0, "at least 1"),
    ],
)
def test_a_value_out_of_range_is_named_with_what_was_expected(option: str, value: object, message: str) -> None:
    config = symbol_game_config().training(**{option: value})
    with pytest.raises(ValueError, match=message) as error:
        config.validate()
    assert option in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_size": 30}, "not divisible by communication_heads=4"),
        ({"sequence_length": 50, "replay_buffer_capacity": 40}, "exceeds replay_buffer_capacity=40"),
    ],
)
def test_options_that_do_not_fit_together_are_an_error(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        symbol_game_config().training(**options).validate()


def test_sequences_must_divide_among_the_learners() -> None:
    with pytest.raises(ValueError, match="batch_size=4 is not a multiple of num_learners=3"):
        symbol_game_config().learners(num_learners=3).validate()


def test_an_unknown_option_in_a_dictionary_names_the_nearest() -> None:
    config = MAMBAConfig().update_from_dict({"env": "symbol_game", "hiden_size": 64})
    with pytest.raises(ValueError, match=r"has no option 'hiden_size'\. Did you mean hidden_size"):
        config.validate()


def test_a_dictionary_may_name_a_preset_and_override_it() -> None:
    config = MAMBAConfig().update_from_dict({"horizon": 7, "preset": "small", "env": "symbol_game"})
    config.validate()
    assert config.horizon == 7
    assert config.hidden_size == PRESETS["small"]["hidden_size"]


def test_all_agents_form_one_team_by_default() -> None:
    config = symbol_game_config()
    config.validate()
    assert config.env is ConfiguredTeamEnv
    assert config.user_env == "symbol_game"
    assert list(config.teams) == ["team"]
    assert len(config.teams["team"]) == 3
    assert config.is_multi_agent


def test_agents_that_share_a_module_form_a_team_and_validation_may_be_repeated() -> None:
    config = symbol_game_config().multi_agent(
        policies={"left", "right"},
        policy_mapping_fn=lambda agent_id, episode, **kw: "left" if str(agent_id).endswith("0") else "right",
    )
    config.validate()
    once = config.teams
    config.validate()
    assert config.teams == once
    assert {name: len(members) for name, members in once.items()} == {"left": 1, "right": 2}
    assert config.user_env_config == {}


def test_a_mapping_to_an_undefined_module_is_named() -> None:
    config = symbol_game_config().multi_agent(policies={"a"}, policy_mapping_fn=lambda agent_id, episode, **kw: "b")
    with pytest.raises(ValueError, match=r"\['b'\]"):
        config.validate()


def test_no_environment_is_one_clear_error() -> None:
    with pytest.raises(ValueError, match="No environment is configured"):
        MAMBAConfig().validate()
