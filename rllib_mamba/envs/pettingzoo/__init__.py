"""Games of PettingZoo as RLlib multi-agent environments."""

from rllib_mamba.envs.pettingzoo.game import PettingZooGame
from rllib_mamba.envs.pettingzoo.making import make_pettingzoo
from rllib_mamba.envs.pettingzoo.parallel import ParallelGame
from rllib_mamba.envs.pettingzoo.turn_based import TurnBasedGame

__all__ = ["ParallelGame", "PettingZooGame", "TurnBasedGame", "make_pettingzoo"]
