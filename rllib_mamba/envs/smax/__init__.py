"""SMAX, StarCraft-like battles without StarCraft (jaxmarl, arXiv 2311.10090), as an RLlib environment."""

from rllib_mamba.envs.smax.environment import SMAXEnv
from rllib_mamba.envs.smax.settings import SMAXSettings

__all__ = ["SMAXEnv", "SMAXSettings"]
