"""What a learner makes of collected episodes: whose return ends when, what counts, what the GRU remembers."""

import copy
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from loops import Loop
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from small_envs import Village
from test_teams_training import HEURISTIC

from rllib_mamba import MAPPOConfig, MAPPORLModule

LENGTH = 4
#: What the critic thinks of every state.
VALUE = 8.0


class Mortal(MultiAgentEnv):
    """Two agents that earn 1 for every step; "brief" terminates at step 2, the episode ends at step 4.

    Args:
        config: `end` of the episode, "terminated" or "truncated"; `absent`, True if "brief" never appears.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.possible_agents = ["long", "brief"]
        self.agents = list(self.possible_agents)
        self.observation_spaces = dict.fromkeys(self.agents, gym.spaces.Box(-1.0, 9.0, (2,), np.float32))
        self.action_spaces = dict.fromkeys(self.agents, gym.spaces.Discrete(2))
        self.end, self.absent = config.get("end"), config.get("absent", False)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        self.step_number = 0
        return self._observe(), {}

    def step(self, action_dict: dict[str, int]) -> tuple[Any, ...]:
        self.step_number += 1
        over = self.step_number == LENGTH
        terminateds = {"__all__": over and self.end == "terminated"}
        if self.step_number == 2 and not self.absent:
            terminateds["brief"] = True
        truncateds = {"__all__": over and self.end == "truncated"}
        return self._observe(), dict.fromkeys(action_dict, 1.0), terminateds, truncateds, {}

    def _observe(self) -> dict[str, np.ndarray]:
        there = ["long", "brief"] if self.step_number < 2 and not self.absent else ["long"]
        return {agent: np.array([self.step_number, 1], np.float32) for agent in there}


def mortal(steps: int = LENGTH, env_config: dict[str, Any] | None = None, **options: Any) -> MAPPOConfig:
    config = MAPPOConfig().preset("debug").environment(Mortal, env_config=env_config or {"end": "terminated"})
    config.env_runners(num_envs_per_env_runner=1)
    return config.training(train_batch_size_per_learner=steps, num_epochs=1, **options)


#: Returns with gamma = 0.5 and lambda = 1.
ALONE_TO_THE_END = [1.875, 1.75, 1.5, 1.0]
ALONE_AND_ON = [2.375, 2.75, 3.5, 5.0]
UNTIL_DEATH = [1.5, 1.0]
TOGETHER_TO_THE_END = [1.6875, 1.375, 0.75, 0.5]
TOGETHER_AND_ON = [2.1875, 2.375, 2.75, 4.5]


@pytest.mark.parametrize(
    ("end", "steps", "options", "expected"),
    [
        ("terminated", 4, {"shared_reward": False}, ALONE_TO_THE_END + UNTIL_DEATH),
        ("truncated", 4, {"shared_reward": False}, ALONE_AND_ON + UNTIL_DEATH),
        # Enough is collected in mid-episode.
        ("terminated", 3, {"shared_reward": False}, [2.75, 3.5, 5.0, *UNTIL_DEATH]),
        # The team's mean reward is 1 while both live and 0.5 afterwards, also for the dead.
        ("terminated", 4, {}, 2 * TOGETHER_TO_THE_END),
        ("truncated", 4, {}, 2 * TOGETHER_AND_ON),
        ("truncated", 4, {"team_reward": "sum"}, [*2 * [0.375 + 3 + 0.5, 3.75, 3.5, 5.0]]),
        ("truncated", 4, {"death_masking": False}, TOGETHER_AND_ON + UNTIL_DEATH),
    ],
)
def test_returns_end_where_they_should(end: str, steps: int, options: dict[str, Any], expected: list[float]) -> None:
    loop = Loop(mortal(steps, {"end": end}, gamma=0.5, gae_lambda=1.0, value_normalization=None, **options))
    for output in loop.learner.module["team"].critic.network.outputs:
        torch.nn.init.zeros_(output.weight)
        torch.nn.init.constant_(output.bias, VALUE)
    [results] = loop.learn(loop.collect()).values()
    assert results["return_mean"] == pytest.approx(np.mean(expected), abs=1e-5)


def test_an_agent_that_is_not_there_teaches_its_actor_nothing() -> None:
    loop = Loop(mortal(40, {"end": "terminated", "absent": True}, share_policy=False))
    actors = loop.learner.module["team"].networks.network.agents
    before = [{name: value.clone() for name, value in actor.state_dict().items()} for actor in actors]
    loop.learn(loop.collect())
    changed = [
        any(not value.equal(old[name]) for name, value in actor.state_dict().items())
        for actor, old in zip(actors, before, strict=True)
    ]
    assert changed == [True, False]


def sharpen(module: MAPPORLModule) -> None:
    """Makes probabilities depend strongly on observation and memory."""
    torch.manual_seed(3)
    for output in module.networks.network.outputs:
        torch.nn.init.normal_(output.weight, std=1.0)


@pytest.mark.parametrize("recurrent", [True, False])
@pytest.mark.parametrize("share_policy", [True, False])
def test_the_learner_finds_the_probabilities_with_which_actions_were_taken(recurrent: bool, share_policy: bool) -> None:
    """Through deaths, waiting, masks, several sequences of an episode, and episodes that iterations cut in two."""
    config = MAPPOConfig().preset("debug").environment(Village, env_config={"masks": True, "length": 9})
    config.training(
        recurrent=recurrent,
        share_policy=share_policy,
        max_seq_len=4,
        num_epochs=1,
        train_batch_size_per_learner=50,
        actor_lr=1e-12,
    )
    loop = Loop(config)
    sharpen(loop.learner.module["team"])
    cut = 0
    for _ in range(2):
        episodes = loop.collect()
        cut += sum(not episode.is_done for episode in episodes)
        [results] = loop.learn(episodes).values()
        assert abs(results["policy_kl"]) < 1e-6
        assert results["clipped_fraction"] == 0
        assert results["policy_entropy"] < 0.6
    assert cut > 0


def test_the_critic_remembers_what_it_saw_while_experience_was_collected() -> None:
    """Values of a later piece of an episode are those of the whole episode."""
    config = MAPPOConfig().preset("debug").environment(Village, env_config={"length": 12})
    config.env_runners(num_envs_per_env_runner=1).training(train_batch_size_per_learner=5, max_seq_len=3)
    loop = Loop(config)
    module = loop.learner.module["team"]
    [first], [second] = loop.collect(), loop.collect()
    assert not first.is_done
    pieces = [episode.agent_episodes["team"] for episode in (first, second)]
    observations = [piece.get_observations() for piece in pieces]
    joined = {
        key: torch.as_tensor(np.concatenate([observations[0][key][:-1], observations[1][key]]))[None]
        for key in observations[0]
    }
    expected = module.critic(joined, module.critic.initial_state((1,)))[1]
    state = pieces[1].get_extra_model_outputs("state_out", indices=-1)["critic"]
    # That is the state before the last observation.
    short = {key: value[:, :-1] for key, value in joined.items()}
    torch.testing.assert_close(torch.as_tensor(state), module.critic(short, module.critic.initial_state((1,)))[1][0])
    assert not torch.allclose(expected[0], torch.as_tensor(state))


def test_a_restored_learner_makes_the_same_update() -> None:
    """Weights, optimizers, statistics of values, schedules and random order of minibatches."""

    def options() -> MAPPOConfig:
        config = MAPPOConfig().preset("debug").environment(Village, env_config={"masks": True})
        schedule = [[0, 1e-2], [1000, 1e-5]]
        return config.training(
            actor_lr=schedule, critic_lr=schedule, entropy_coeff=schedule, num_minibatches=3, shared_reward=False
        )

    loop, other = Loop(options()), Loop(options())
    for _ in range(2):
        loop.learn(loop.collect())
    state = copy.deepcopy(loop.learner.get_state())
    episodes = loop.collect()
    copies = copy.deepcopy(episodes)
    expected = loop.learn(episodes)
    other.env_steps = loop.env_steps
    other.learner.set_state(state)
    results = other.learn(copies)
    weights, copied = (learner.module["team"].state_dict() for learner in (loop.learner, other.learner))
    assert all(copied[name].equal(value) for name, value in weights.items())
    for name in ("actor_loss", "value_loss", "return_mean", "entropy_coefficient", "critic_learning_rate"):
        assert results["team"][name] == expected["team"][name], name
    assert 1e-5 < expected["team"]["entropy_coefficient"] < 1e-2


@pytest.mark.parametrize("recurrent", [True, False])
def test_a_heuristic_opponent_is_left_alone(recurrent: bool) -> None:
    config = MAPPOConfig().preset("debug").environment(Village).training(recurrent=recurrent)
    config.multi_agent(
        policies={"hunter", "gatherer"}, policy_mapping_fn=lambda agent_id, *args, **kwargs: agent_id.split("_")[0]
    )
    loop = Loop(config.rl_module(rl_module_spec=HEURISTIC))
    episodes = loop.collect()
    for episode in episodes:
        assert (np.array(episode.agent_episodes["hunter"].get_actions()) == 2).all()
    results = loop.learn(episodes)
    assert np.isfinite(results["gatherer"]["actor_loss"])
    assert "actor_loss" not in results.get("hunter", {})
