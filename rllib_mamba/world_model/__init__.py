"""The world model: plain torch, it knows nothing of RLlib."""

from rllib_mamba.world_model.config import WorldModelConfig
from rllib_mamba.world_model.losses import LOSSES, WorldModelOutputs, world_model_losses
from rllib_mamba.world_model.observation_normalizer import ObservationNormalizer
from rllib_mamba.world_model.predictions import StartStates, infer_start_states
from rllib_mamba.world_model.reward_unit import RewardUnit, mean_square
from rllib_mamba.world_model.rssm import LatentState
from rllib_mamba.world_model.sampling import ModeSampler, RandomSampler, Sampler
from rllib_mamba.world_model.sequence import AlignedSequence, SequenceOptions, align, hearing
from rllib_mamba.world_model.world_model import WorldModel

__all__ = [
    "LOSSES",
    "AlignedSequence",
    "LatentState",
    "ModeSampler",
    "ObservationNormalizer",
    "RandomSampler",
    "RewardUnit",
    "Sampler",
    "SequenceOptions",
    "StartStates",
    "WorldModel",
    "WorldModelConfig",
    "WorldModelOutputs",
    "align",
    "hearing",
    "infer_start_states",
    "mean_square",
    "world_model_losses",
]
