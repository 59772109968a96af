"""What cannot be trained is one clear error before anything expensive starts."""

import importlib.abc
import sys
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import ray
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from small_envs import Village

from rllib_mamba import MAMBA, MAMBAConfig
from rllib_mamba.envs.symbol_game import SymbolGame
from rllib_mamba.registry import get_algorithm_class

pytestmark = pytest.mark.usefixtures("ray_cluster")

BOX = gym.spaces.Box(-1, 1, (2,), np.float32)


class Spaces(MultiAgentEnv):
    """Two agents, of which "odd" has the spaces in the settings; it is never played."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.possible_agents = ["plain", "odd"]
        self.agents = list(self.possible_agents)
        self.observation_spaces = {"plain": BOX, "odd": config.get("observation", BOX)}
        self.action_spaces = {"plain": gym.spaces.Discrete(2), "odd": config.get("action", gym.spaces.Discrete(2))}

    def reset(self, **kwargs: Any) -> Any:
        raise AssertionError("begins an episode before its spaces are known to be of use")


class NoAgents(Spaces):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.possible_agents = self.agents = []


class NoSpace(Spaces):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.observation_spaces = {"plain": BOX}


class Broken(MultiAgentEnv):
    def __init__(self, config: Any) -> None:
        raise RuntimeError("the licence of the game has run out")


def make_cartpole(config: Any) -> gym.Env:
    return gym.make("CartPole-v1")


def as_object(settings: dict[str, Any]) -> None:
    config = MAMBAConfig().preset("debug")
    config.environment(settings["env"], env_config=settings.get("env_config", {}))
    config.update_from_dict({key: value for key, value in settings.items() if key not in ("env", "env_config")})
    config.build_algo()


def as_dictionary(settings: dict[str, Any]) -> None:
    MAMBA(config={"preset": "debug", **settings})


BAD_SETTINGS = {
    "unknown environment": (
        {"env": "flatland_5_agent"},
        ValueError,
        "Unknown environment 'flatland_5_agent'. Did you mean 'flatland_5_agents'",
    ),
    "unknown module": ({"env": "no_such_module:Game"}, ValueError, "no module 'no_such_module'"),
    "unknown class": (
        {"env": "rllib_mamba.envs.symbol_game:SymbolGam"},
        ValueError,
        "rllib_mamba.envs.symbol_game has no 'SymbolGam'",
    ),
    "unknown setting": (
        {"env": "symbol_game", "env_config": {"num_agent": 2}},
        ValueError,
        "SymbolGame has no option 'num_agent'",
    ),
    "one agent only": ({"env": make_cartpole}, TypeError, "is not an RLlib MultiAgentEnv. Wrap a single-agent"),
    "an instance": ({"env": "CartPole-v1"}, ValueError, "Unknown environment 'CartPole-v1'"),
    "no agents": ({"env": NoAgents}, ValueError, "NoAgents names no agents: set `self.possible_agents`"),
    "no space": ({"env": NoSpace}, ValueError, "NoSpace has no observation or action space for agent 'odd'"),
    "environment that fails": ({"env": Broken}, RuntimeError, "the licence of the game has run out"),
    "continuous action": (
        {"env": Spaces, "env_config": {"action": BOX}},
        ValueError,
        r"The action space of agent 'odd' is Box\(.*only Discrete",
    ),
    "several actions": (
        {"env": Spaces, "env_config": {"action": gym.spaces.MultiDiscrete([2, 2])}},
        ValueError,
        r"The action space of agent 'odd' is MultiDiscrete\(.*only Discrete",
    ),
    "text": (
        {"env": Spaces, "env_config": {"observation": gym.spaces.Text(5)}},
        ValueError,
        r"The observation space of agent 'odd' is not supported: Text\(",
    ),
    "sequence of unknown length in a dictionary": (
        {"env": Spaces, "env_config": {"observation": gym.spaces.Dict(a=BOX, b=gym.spaces.Sequence(BOX))}},
        ValueError,
        r"The observation space of agent 'odd' is not supported: Sequence\(",
    ),
    "sequence longer than replay": (
        {"env": "symbol_game", "sequence_length": 500, "replay_buffer_capacity": 200},
        ValueError,
        "sequence_length=500 exceeds replay_buffer_capacity=200",
    ),
    "paper, but": (
        {"env": "symbol_game", "preset": ["debug", "paper"], "gamma": 0.5},
        ValueError,
        r"contradict the preset 'paper': gamma=0.5 \(paper: 0.99\)",
    ),
    "two sizes": (
        {"env": "symbol_game", "preset": ["debug", "smac"]},
        ValueError,
        "The presets 'debug' and 'smac' contradict each other",
    ),
}


@pytest.mark.parametrize("build", [as_object, as_dictionary], ids=["object", "dictionary"])
@pytest.mark.parametrize("name", BAD_SETTINGS)
def test_settings_that_cannot_be_used(name: str, build: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, error, message = BAD_SETTINGS[name]
    monkeypatch.setattr(ray, "put", None)  # No process is prepared before the error.
    with pytest.raises(error, match=message):
        build(dict(settings))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"team": {"gamma": 2.0}}, r"'team': gamma=2.0 is out of range: expected a number in \(0, 1\]"),
        ({"team": {"gama": 0.9}}, r"'team': .*no option 'gama'. Did you mean gamma"),
        ({"teem": {"gamma": 0.9}}, r"has options for 'teem', but the teams are \['team'\]"),
    ],
    ids=["out of range", "unknown", "no team"],
)
def test_options_of_one_module_that_cannot_be_used(options: dict[str, Any], message: str) -> None:
    config = MAMBAConfig().environment("symbol_game").preset("debug")
    config.multi_agent(algorithm_config_overrides_per_module=options)
    with pytest.raises(ValueError, match=message):
        config.validate()


def test_options_of_one_module_that_can_be_used() -> None:
    config = MAMBAConfig().environment("symbol_game").preset("debug")
    config.multi_agent(algorithm_config_overrides_per_module={"team": MAMBAConfig.overrides(gamma=0.9)})
    config.validate()
    assert (config.get_config_for_module("team").gamma, config.gamma) == (0.9, MAMBAConfig().gamma)


def test_an_unknown_algorithm_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"Unknown algorithm 'MAMA'\. Did you mean 'MAMBA'"):
        get_algorithm_class("MAMA")


class HidePackage(importlib.abc.MetaPathFinder):
    """Lets a package look as if it were not installed."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.split(".")[0] == self.package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_flatland_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):
        if name.split(".")[0] == "flatland" or name.startswith("rllib_mamba.envs.flatland"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [HidePackage("flatland"), *sys.meta_path])
    with pytest.raises(ImportError, match=r'pip install "rllib-mamba\[flatland\]"'):
        MAMBAConfig().environment("flatland_5_agents").build_algo()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda config: config.env_runners(num_env_runners=50),
            "needs 50 CPUs, but the Ray cluster has 4. Lower num_e",
        ),
        (
            lambda config: config.env_runners(num_env_runners=2).evaluation(
                evaluation_interval=1, evaluation_num_env_runners=3
            ),
            r"needs 5 CPUs, .*evaluation_num_env_runners \(3\)",
        ),
        (
            lambda config: config.learners(num_learners=2, num_cpus_per_learner=8),
            "needs 16 CPUs, but the Ray cluster has 4",
        ),
        (
            lambda config: config.learners(num_learners=1, num_gpus_per_learner=1),
            "needs 1 GPUs, but the Ray cluster has 0. Lower num_gpus_per_learner",
        ),
        (lambda config: config.learners(num_gpus_per_learner=1), "num_gpus_per_learner=1, but torch finds no GPU"),
        (
            lambda config: config.env_runners(num_env_runners=1, custom_resources_per_env_runner={"starcraft": 1}),
            "needs 1 starcrafts, but the Ray cluster has 0",
        ),
    ],
    ids=["env runners", "evaluation", "learners", "remote GPU", "local GPU", "own resource"],
)
def test_more_than_the_cluster_has_is_no_silent_wait(
    change: Callable, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whatever machine the tests run on.
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    config = MAMBAConfig().environment("symbol_game").preset("debug")
    change(config)
    # No process is asked for before the error.
    monkeypatch.setattr("ray.actor.ActorClass._remote", None)
    with pytest.raises(ValueError, match=message):
        config.build_algo()


def test_a_cluster_that_can_grow_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rllib_mamba.algorithms.resources.is_autoscaling_enabled", lambda: True)
    request = MAMBA.default_resource_request({"env": "symbol_game", "num_env_runners": 50})
    assert request.required_resources["CPU"] == 51


class NothingAllowed(Village):
    """Begins with a mask that leaves one agent nothing to do."""

    def _observation(self, agent: str) -> Any:
        observation = super()._observation(agent)
        if agent == "gatherer_2":
            observation["action_mask"][:] = 0
        return observation


class Infinite(SymbolGame):
    def _observations(self) -> dict[str, np.ndarray]:
        return {player: values / 0 for player, values in super()._observations().items()}


@pytest.mark.filterwarnings("ignore:.*divide:RuntimeWarning", "ignore:.*invalid:RuntimeWarning")
@pytest.mark.parametrize(
    ("environment", "env_config", "message"),
    [
        (NothingAllowed, {"masks": True}, r"Agent 'gatherer_2', step 0: action_mask \[0, 0, 0\]: .* legal action"),
        (Infinite, {}, r"Agent 'player_0', step 0: observation (nan|inf): at index 0"),
    ],
)
def test_a_first_observation_that_cannot_be_used(environment: type, env_config: dict, message: str) -> None:
    algorithm = MAMBAConfig().environment(environment, env_config=env_config).preset("debug").build_algo()
    with pytest.raises(ValueError, match=message):
        algorithm.train()
    algorithm.stop()
