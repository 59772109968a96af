"""Trains on Flatland's rail maps (flatland-rl), as in the MAMBA paper (arXiv 2205.15023)."""

from rllib_mamba.envs.flatland.importing import msgpack_left_alone

try:
    with msgpack_left_alone():
        import flatland.envs.rail_env  # noqa: F401
except ImportError as error:
    raise ImportError('the Flatland environment needs flatland-rl: pip install "rllib-mamba[flatland]"') from error

from rllib_mamba.envs.flatland.environment import FlatlandEnv
from rllib_mamba.envs.flatland.presets import PRESETS
from rllib_mamba.envs.flatland.settings import FlatlandSettings

__all__ = ["PRESETS", "FlatlandEnv", "FlatlandSettings"]
