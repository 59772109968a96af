from functools import partial
from typing import Any

import numpy as np
import pytest
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.ppo import PPO
from ray.rllib.env.env_context import EnvContext
from ray.tune.registry import ENV_CREATOR, _global_registry, get_trainable_cls, register_env, register_trainable

from rllib_mamba import registry
from rllib_mamba.envs.symbol_game import SymbolGame
from rllib_mamba.teams import TeamEnv, possible_agents


def make(specifier: Any, **env_config: Any) -> Any:
    return registry.make_environment(specifier, EnvContext(env_config, worker_index=3, vector_index=1))


@pytest.mark.parametrize("specifier", ["symbol_game", SymbolGame, "rllib_mamba.envs.symbol_game:SymbolGame"])
def test_forms_of_an_environment(specifier: Any):
    env = make(specifier, num_agents=4)
    assert isinstance(env, SymbolGame)
    assert len(env.possible_agents) == 4


@pytest.mark.parametrize(
    "name", ["symbol_game", "pettingzoo:classic.rps_v2", "rllib_mamba.envs.symbol_game:SymbolGame"]
)
def test_a_name_may_be_registered_for_what_it_stands_for_anyway(name: str):
    if name.startswith("pettingzoo"):
        pytest.importorskip("pettingzoo")
    register_env(name, partial(registry.make_environment, name))
    try:
        # Twice: nothing is remembered of the first time.
        for _ in range(2):
            assert len(make(name).possible_agents) >= 2
    finally:
        _global_registry.unregister(ENV_CREATOR, name)
        registry.register()


class KeepsContext(SymbolGame):
    def __init__(self, config: EnvContext) -> None:
        super().__init__(config)
        self.context = config


def test_name_registered_with_tune_goes_first():
    register_env("symbol_game", KeepsContext)
    try:
        env = make("symbol_game", num_agents=2)
    finally:
        registry.register()
    assert isinstance(env, KeepsContext)
    assert (dict(env.context), env.context.worker_index, env.context.vector_index) == ({"num_agents": 2}, 3, 1)


def test_environment_gets_the_context_and_its_preset():
    pytest.importorskip("flatland")
    env = make("flatland_5_agents")
    assert len(env.possible_agents) == 5
    # The user's settings go before those of the name.
    assert len(make("flatland_debug", number_of_trains=1).possible_agents) == 1


def test_every_flatland_map_has_a_name():
    flatland = pytest.importorskip("rllib_mamba.envs.flatland")
    assert set(flatland.PRESETS) == {name for name in registry.environment_names() if name.startswith("flatland")}


@pytest.mark.parametrize(
    ("specifier", "module", "agents"),
    [
        ("pettingzoo:classic.rps_v2", "pettingzoo.classic.rps_v2", 2),
        ("pettingzoo:classic.tictactoe_v3", "pettingzoo.classic.tictactoe_v3", 2),
        ("pettingzoo:mpe2.simple_spread_v3", "mpe2.simple_spread_v3", 3),
    ],
)
def test_pettingzoo_games_are_played_by_a_team(specifier: str, module: str, agents: int):
    pytest.importorskip(module)
    inner = make(specifier)
    env = TeamEnv(inner, {"team": possible_agents(inner)})
    assert env.action_spaces["team"].shape == (agents,)
    random = np.random.default_rng(0)
    for _ in range(3):
        observations, _ = env.reset()
        over, steps = False, 0
        while not over:
            alive = observations["team"]["alive"]
            legal = observations["team"].get("action_mask", np.ones((agents, int(env.action_spaces["team"].nvec[0]))))
            actions = [random.choice(np.flatnonzero(row)) for row in legal]
            observations, _, terminateds, truncateds, _ = env.step({"team": np.array(actions)})
            over, steps = terminateds["__all__"] or truncateds["__all__"], steps + 1
            if "tictactoe" in module and not over:
                assert sorted([alive.tolist(), observations["team"]["alive"].tolist()]) == [[0, 1], [1, 0]]
        assert steps >= 5
    env.close()


@pytest.mark.parametrize(
    ("specifier", "message"),
    [
        (
            "flatland_5_agent",
            "Unknown environment 'flatland_5_agent'. Did you mean 'flatland_5_agents'.*symbol_game.*module:Class",
        ),
        ("Symbol_Game", "Did you mean 'symbol_game'"),
        ("no_such_module:Env", "no module 'no_such_module'"),
        ("rllib_mamba.envs.symbol_game:Symbols", "rllib_mamba.envs.symbol_game has no 'Symbols'"),
        ("pettingzoo:no_such_game", "no module pettingzoo.no_such_game"),
    ],
)
def test_unknown_environment(specifier: str, message: str):
    with pytest.raises(ValueError, match=message):
        make(specifier)


def test_missing_package_is_not_taken_for_a_missing_environment(tmp_path: Any, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "needs_more.py").write_text("import a_package_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="a_package_that_is_not_there"):
        make("needs_more:Env")


def test_algorithms():
    assert registry.get_algorithm_class("PPO") is PPO
    assert {"MAMBA", "PPO", "DQN", "SAC"} <= set(registry.algorithm_names())
    for name in registry.ALGORITHMS:
        assert issubclass(registry.get_algorithm_class(name), Algorithm)


def test_algorithm_registered_with_tune():
    class Mine(PPO):
        pass

    register_trainable("Mine", Mine)
    assert registry.get_algorithm_class("Mine").__name__ == "Mine"


def test_unknown_algorithm():
    with pytest.raises(ValueError, match=r"Unknown algorithm 'mamba1'\. Did you mean 'MAMBA'.*DQN.*PPO"):
        registry.get_algorithm_class("mamba1")


def test_registered_names_are_known_to_tune():
    registry.register()
    for name in registry.ALGORITHMS:
        assert get_trainable_cls(name) is registry.get_algorithm_class(name)
    from ray.tune.registry import ENV_CREATOR, _global_registry

    for name in registry.environment_names():
        assert _global_registry.contains(ENV_CREATOR, name)


def test_private_names_of_ray_are_as_expected():
    # Should this fail, Ray has changed what rllib_mamba/registry.py relies on.
    from ray.rllib.algorithms import registry as rllib_registry
    from ray.tune import registry as tune_registry

    assert (tune_registry.ENV_CREATOR, tune_registry.TRAINABLE_CLASS) == ("env_creator", "trainable_class")
    tune_registry.register_env("private_names", SymbolGame)
    assert tune_registry._global_registry.contains(tune_registry.ENV_CREATOR, "private_names")
    assert tune_registry._global_registry.get(tune_registry.ENV_CREATOR, "private_names") is SymbolGame
    assert not tune_registry._global_registry.contains(tune_registry.ENV_CREATOR, "no_such_environment")
    algorithm_class, default_config = rllib_registry.ALGORITHMS["PPO"]()
    assert algorithm_class is PPO
    assert default_config.algo_class is PPO


def test_environments_of_one_process_do_not_see_the_same_episodes():
    # RLlib's env runners make all of theirs from one context.
    context = EnvContext({"seed": 3}, worker_index=1, num_workers=1)
    first, second = (registry.make_environment("flatland_debug", context) for _ in range(2))
    observations = [env.reset()[0]["train_0"] for env in (first, second)]
    assert not np.array_equal(*observations)
    again = registry.make_environment("flatland_debug", EnvContext({"seed": 3}, worker_index=1, num_workers=1))
    assert np.array_equal(again.reset()[0]["train_0"], observations[0])
