"""The games of PettingZoo's families, each played to its end in RLlib's episodes and in a team."""

from typing import Any

import numpy as np
import pytest
from ray.rllib.env.env_context import EnvContext

pytest.importorskip("pettingzoo")

from gymnasium.spaces import Discrete
from staged_games import played, randomly

from rllib_mamba.envs.pettingzoo import PettingZooGame, make_pettingzoo
from rllib_mamba.teams import TeamEnv, columns

FEW = {"max_cycles": 8}
GAMES: dict[str, dict[str, Any]] = {
    "mpe2.simple_v3": FEW,
    "mpe2.simple_adversary_v3": FEW,
    "mpe2.simple_crypto_v3": FEW,
    "mpe2.simple_formation_v1": FEW,
    "mpe2.simple_line_v1": FEW,
    "mpe2.simple_push_v3": FEW,
    "mpe2.simple_reference_v3": FEW,
    "mpe2.simple_speaker_listener_v4": FEW,
    "mpe2.simple_spread_v3": FEW,
    "mpe2.simple_tag_v3": FEW,
    "mpe2.simple_world_comm_v3": FEW,
    "mpe2.collect_treasure_v1": FEW,
    "sisl.multiwalker_v9": FEW,
    "sisl.pursuit_v5": FEW,
    "butterfly.cooperative_pong_v6": FEW,
    "butterfly.knights_archers_zombies_v11": {"max_cycles": 200},
    "butterfly.pistonball_v6": {"continuous": False, **FEW},
    "classic.chess_v6": {},
    "classic.connect_four_v3": {},
    "classic.go_v5": {"board_size": 5},
    "classic.hanabi_v5": {},
    "classic.leduc_holdem_v4": {},
    "classic.rps_v2": {"max_cycles": 5},
    "classic.texas_holdem_no_limit_v6": {},
    "classic.texas_holdem_v4": {},
    "classic.tictactoe_v3": {},
}
IMAGES = ("butterfly.cooperative_pong_v6", "butterfly.pistonball_v6")
CONTINUOUS = ("sisl.multiwalker_v9",)
#: Packages that a game imports only when it is made.
NEEDED = {"classic.hanabi_v5": "pyspiel"}
#: The spawn counter of this game lives on when the game is reset.
REMEMBERS = ("butterfly.knights_archers_zombies_v11",)


def make(module: str) -> PettingZooGame:
    pytest.importorskip(module if module.startswith("mpe2") else f"pettingzoo.{module}")
    if module in NEEDED:
        pytest.importorskip(NEEDED[module])
    return make_pettingzoo(module, EnvContext(GAMES[module], worker_index=0))


@pytest.mark.parametrize("module", GAMES)
def test_episodes_of_rllib(module: str):
    env = make(module)
    returns = []
    for _ in range(2):
        episode, given = played(env, randomly(env), seed=7)
        for step in given:
            assert all(env.observation_spaces[agent].contains(seen) for agent, seen in step[0].items())
        final = given[-1]
        assert final[2]["__all__"] != final[3]["__all__"]
        assert all(one.is_done for one in episode.agent_episodes.values())
        returns.append({agent: one.get_return() for agent, one in episode.agent_episodes.items()})
    assert set(returns[0]) <= set(env.possible_agents)
    if module not in REMEMBERS:
        assert returns[0] == returns[1]
    env.close()


@pytest.mark.parametrize("module", [module for module in GAMES if module not in (*IMAGES, *CONTINUOUS)])
def test_episodes_of_a_team(module: str):
    env = make(module)
    team = TeamEnv(env, {"team": env.possible_agents}, reward="sum")
    random = np.random.default_rng(0)
    observations, _ = team.reset(seed=7)
    total, over = 0.0, False
    while not over:
        seen = observations["team"]
        assert team.observation_spaces["team"].contains(seen)
        assert seen[columns.ALIVE].any()
        legal = seen.get(columns.ACTION_MASK, np.ones((len(env.possible_agents), _largest(env))))
        actions = np.array([random.choice(np.flatnonzero(row)) for row in legal])
        observations, rewards, terminateds, truncateds, _ = team.step({"team": actions})
        total += rewards["team"]
        over = terminateds["__all__"] or truncateds["__all__"]
    assert total == pytest.approx(sum(team.agent_returns.values()))
    assert observations["team"][columns.ENDED].all() == terminateds["__all__"]
    team.close()


@pytest.mark.parametrize(
    ("module", "message"),
    [
        *((module, "observation space of agent '.*' is an image") for module in IMAGES),
        *((module, "only Discrete action spaces are supported") for module in CONTINUOUS),
    ],
)
def test_no_team_plays_it(module: str, message: str):
    env = make(module)
    with pytest.raises(ValueError, match=message):
        TeamEnv(env, {"team": env.possible_agents})


def _largest(env: PettingZooGame) -> int:
    return max(int(space.n) for space in env.action_spaces.values() if isinstance(space, Discrete))
