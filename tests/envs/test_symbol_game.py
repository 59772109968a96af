from typing import Any

import numpy as np
import pytest

from rllib_mamba.envs.symbol_game import SymbolGame


def play(game: SymbolGame, answer: Any, episodes: int = 1, seed: int = 0) -> np.ndarray:
    """The players' returns (episodes, players) when they answer with answer(own symbols, symbols one step before)."""
    returns = np.zeros((episodes, len(game.possible_agents)))
    for episode in range(episodes):
        observations, _ = game.reset(seed=seed if episode == 0 else None)
        before, over = None, False
        while not over:
            now = np.array([observations[player].argmax() for player in game.possible_agents])
            actions = dict(zip(game.possible_agents, answer(now, before), strict=True))
            before = now
            observations, rewards, terminateds, truncateds, _ = game.step(actions)
            returns[episode] += list(rewards.values())
            over = terminateds["__all__"]
            assert not truncateds["__all__"]
    return returns


def best_answer(now: np.ndarray, before: np.ndarray | None) -> np.ndarray:
    # Player i names what player i - 1 saw.
    return np.zeros_like(now) if before is None else before[np.arange(len(now)) - 1]


@pytest.mark.parametrize("config", [{}, {"num_agents": 5, "num_symbols": 4, "episode_length": 7}])
def test_knowing_the_neighbours_symbol_gives_the_best_return(config: dict[str, int]):
    game = SymbolGame(config)
    assert (play(game, best_answer, episodes=3) == game.best_return).all()
    assert game.best_return == game.episode_length - 1


def own_symbol(now: np.ndarray, before: np.ndarray | None) -> np.ndarray:
    return now


def own_symbol_before(now: np.ndarray, before: np.ndarray | None) -> np.ndarray:
    return now if before is None else before


def always_one(now: np.ndarray, before: np.ndarray | None) -> np.ndarray:
    return np.ones_like(now)


@pytest.mark.parametrize("answer", [own_symbol, own_symbol_before, always_one])
def test_what_a_player_sees_itself_is_worth_no_more_than_chance(answer: Any):
    game = SymbolGame({"num_symbols": 4})
    # 300 episodes of 3 players with 11 answers each: the mean is within 0.2 of chance at five standard deviations.
    assert play(game, answer, episodes=300).mean() == pytest.approx(game.chance_return, abs=0.25)


def test_observations_are_one_hot_and_in_their_space():
    game = SymbolGame()
    observations, _ = game.reset(seed=1)
    assert set(observations) == set(game.possible_agents)
    for player, observation in observations.items():
        assert game.observation_spaces[player].contains(observation)
        assert observation.sum() == 1


def test_seed_gives_the_same_symbols_and_later_episodes_differ():
    first, second = (SymbolGame() for _ in range(2))

    def symbols(game: SymbolGame, seed: int | None) -> list[float]:
        observations, _ = game.reset(seed=seed)
        shown = [*observations.values()]
        for _ in range(5):
            shown += game.step(dict.fromkeys(game.possible_agents, 0))[0].values()
        return np.concatenate(shown).tolist()

    assert symbols(first, 5) == symbols(second, 5)
    again = symbols(first, None)
    assert again == symbols(second, None)
    assert again != symbols(first, 5)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"num_agents": 1}, "num_agents must be an integer of at least 2, not 1"),
        ({"num_symbols": 2.5}, "num_symbols must be an integer"),
        ({"episode_length": True}, "episode_length must be an integer"),
        ({"symbols": 3}, "no option 'symbols'.*num_symbols"),
    ],
)
def test_bad_configuration(config: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        SymbolGame(config)
