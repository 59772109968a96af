"""The short connectors beside RLlib's own ones: the same numbers reach modules, episodes and environments."""

from typing import Any

import numpy as np
import pytest
import torch
import tree
from ray.rllib.core.columns import Columns
from ray.rllib.core.distribution.torch.torch_distribution import TorchMultiCategorical
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode

from rllib_mamba import MAMBAConfig, MAPPOConfig, QMIXConfig
from rllib_mamba.teams.connectors import TeamsToModules

ENVS, STEPS, SAMPLES = 3, 7, 3


def nothing(*args: Any) -> list[Any]:
    """What a user might put into a pipeline; RLlib's pieces then stay."""
    return []


def sampled(config: Any, rllib: bool) -> list[MultiAgentEpisode]:
    """Episodes of an env runner without a cluster, over several parts that cut episodes in two."""
    config = config.copy(copy_frozen=False)
    config.debugging(seed=0).env_runners(
        num_env_runners=0, num_envs_per_env_runner=ENVS, rollout_fragment_length=STEPS, batch_mode="truncate_episodes"
    )
    if rllib:
        config.env_runners(env_to_module_connector=nothing)
    config.validate()
    torch.manual_seed(0)
    runner = config.env_runner_cls(config=config, worker_index=0, num_workers=0)
    pieces = [type(piece) for piece in runner._env_to_module.connectors]
    assert (TeamsToModules in pieces) is not rllib
    episodes = [episode for _ in range(SAMPLES) for episode in runner.sample(explore=True)]
    runner.stop()
    return episodes


class UniformModule(TorchRLModule):
    """An opponent without a state that leaves drawing the actions to RLlib."""

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        teams = len(batch[Columns.OBS]["obs"])
        return {Columns.ACTION_DIST_INPUTS: torch.zeros(teams, int(self.action_space.nvec.sum()))}

    def get_exploration_action_dist_cls(self) -> Any:
        return TorchMultiCategorical.get_partial_dist_cls(input_lens=self.action_space.nvec.tolist())


def against_an_opponent(config: Any) -> Any:
    """Player 0 in a team of its own that is not trained."""
    config.multi_agent(
        policies={"trained", "opponent"},
        policy_mapping_fn=lambda agent, *args, **kwargs: "opponent" if str(agent).endswith("0") else "trained",
        policies_to_train=["trained"],
    )
    specs = {"opponent": RLModuleSpec(module_class=UniformModule)}
    return config.rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs=specs))


CONFIGS = {
    "MAMBA": lambda: MAMBAConfig().environment("symbol_game").preset("debug"),
    "MAPPO": lambda: MAPPOConfig().environment("symbol_game").preset("debug"),
    "QMIX": lambda: QMIXConfig().environment("symbol_game").preset("debug"),
    "opponent": lambda: against_an_opponent(MAMBAConfig().environment("symbol_game").preset("debug")),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_episodes_are_those_of_rllibs_own_connectors(name: str) -> None:
    expected, actual = sampled(CONFIGS[name](), rllib=True), sampled(CONFIGS[name](), rllib=False)
    assert len(expected) == len(actual) > ENVS
    for one, other in zip(expected, actual, strict=True):
        assert one.env_t == other.env_t
        for team, mine in one.agent_episodes.items():
            theirs = other.agent_episodes[team]
            assert mine.extra_model_outputs.keys() == theirs.extra_model_outputs.keys()
            for get in ("get_observations", "get_actions", "get_rewards"):
                tree.map_structure(np.testing.assert_array_equal, getattr(mine, get)(), getattr(theirs, get)())
            for key in mine.extra_model_outputs:
                outputs = [each.get_extra_model_outputs(key) for each in (mine, theirs)]
                tree.map_structure(np.testing.assert_array_equal, *outputs)
