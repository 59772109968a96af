"""MAMBA and PPO on SMAC's battles."""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from installed_starcraft import STAND_IN, StarCraft
from ray.rllib.algorithms.ppo import PPOConfig
from ray.tune.registry import register_env

from rllib_mamba import MAMBAConfig
from rllib_mamba.registry import make_environment

pytestmark = pytest.mark.usefixtures("ray_cluster")

NAME = "smac_3m"


def in_any_process(starcraft: StarCraft) -> Callable[[Any], Any]:
    """Makes the environment also in processes of the cluster, which know nothing of this test."""
    folder, stand_in, name = str(starcraft.folder), str(STAND_IN), NAME

    def make(context: Any) -> Any:
        os.environ["SC2PATH"] = folder
        if stand_in not in sys.path:
            sys.path.insert(0, stand_in)
        return make_environment(name, context)

    return make


def test_mamba_goes_on_after_a_crash_and_leaves_no_game(starcraft: StarCraft):
    config = MAMBAConfig().environment(NAME).preset("debug").env_runners(num_envs_per_env_runner=2)
    algorithm = config.debugging(seed=0).build_algo()
    try:
        # Neither forming the teams nor building spaces and modules takes a game.
        assert starcraft.games() == []
        algorithm.train()
        starcraft.crash(of=2)
        results = [algorithm.train() for _ in range(2)][-1]
        starcraft.wait_for(2)
    finally:
        algorithm.stop()
    assert np.isfinite(results["learners"]["team"]["total_loss"])
    sampled = results["env_runners"]
    assert 0 <= sampled["episode_metrics"]["won"] <= 1
    assert sampled["episode_metrics"]["restarts"] > 0
    assert starcraft.games() == []


def test_a_killed_env_runner_leaves_no_game(starcraft: StarCraft):
    # Not the same name: importing our package in another process registers that one anew.
    register_env("smac_elsewhere", in_any_process(starcraft))
    config = (
        PPOConfig()
        .environment("smac_elsewhere")
        .env_runners(num_env_runners=1, num_envs_per_env_runner=2)
        .multi_agent(policies={"shared"}, policy_mapping_fn=lambda *args, **kwargs: "shared")
        .training(train_batch_size_per_learner=100, minibatch_size=50, num_epochs=1)
    )
    algorithm = config.build_algo()
    try:
        results = algorithm.train()
        assert np.isfinite(results["learners"]["shared"]["total_loss"])
        starcraft.wait_for(2)
        [runner] = algorithm.env_runner_group.foreach_env_runner(lambda runner: os.getpid(), local_env_runner=False)
        os.kill(runner, signal.SIGKILL)
        starcraft.wait_for(0)
    finally:
        algorithm.stop()
