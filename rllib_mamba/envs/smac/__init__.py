"""Battles of StarCraft II, the StarCraft Multi-Agent Challenge (arXiv 1902.04043), and SMACv2 (arXiv 2212.07489)."""

from rllib_mamba.envs.smac.environment import SMACEnv, StarCraftError
from rllib_mamba.envs.smac.settings import SMACSettings

__all__ = ["SMACEnv", "SMACSettings", "StarCraftError"]
