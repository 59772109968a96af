"""Curricula: which task the environment plays in which training episode. Knows RLlib's callbacks, no algorithm."""

from rllib_mamba.curriculum.callback import CurriculumCallback
from rllib_mamba.curriculum.curriculum import CURRICULUM_KEY, Curriculum
from rllib_mamba.curriculum.progress import Progress
from rllib_mamba.curriculum.schedules import InOrder, Prioritized, Schedule, Weighted
from rllib_mamba.curriculum.tasks import check_tasks

__all__ = [
    "CURRICULUM_KEY",
    "Curriculum",
    "CurriculumCallback",
    "InOrder",
    "Prioritized",
    "Progress",
    "Schedule",
    "Weighted",
    "check_tasks",
]
