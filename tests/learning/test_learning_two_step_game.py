"""QMIX finds the 8 of the two-step game, which independent learners give up for a safe 7."""

import pytest
from two_step_game import TwoStepGame

from rllib_mamba import QMIXConfig, QMIXPolicy

ENV_STEPS = 1_000


def train(mixer: str | None) -> QMIXPolicy:
    config = (
        QMIXConfig()
        .environment(TwoStepGame)
        .env_runners(num_envs_per_env_runner=8, rollout_fragment_length=10)
        .training(
            mixer=mixer,
            # As in the publication: actions are random throughout, and only what is learned from them differs.
            epsilon=1.0,
            hidden_size=16,
            mixing_embedding_size=8,
            hypernetwork_hidden_size=16,
            optimizer_type="adam",
            lr=5e-3,
            update_every=8,
            updates_per_cycle=5,
            target_update_interval=25,
        )
        .debugging(seed=1)
    )
    algorithm = config.build_algo()
    try:
        while algorithm.update_schedule.env_steps < ENV_STEPS:
            algorithm.training_step()
        return algorithm.get_policy()
    finally:
        algorithm.stop()


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize(("mixer", "expected"), [("qmix", 8.0), (None, 7.0)], ids=["QMIX", "independent"])
def test_what_the_team_gets(mixer: str | None, expected: float) -> None:
    policy, game = train(mixer), TwoStepGame()
    observations, infos = game.reset()
    policy.reset()
    total, over = 0.0, False
    while not over:
        observations, rewards, terminateds, _, infos = game.step(policy.act(observations, infos))
        total += rewards["first"]
        over = terminateds["__all__"]
    assert total == expected
