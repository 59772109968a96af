"""Games of PettingZoo as RLlib multi-agent environments."""

from rllib_mamba.envs.pettingzoo.making import make_pettingzoo

__all__ = ["make_pettingzoo"]
