"""Checks of environments: what would go wrong in training, in plain words, before it does."""

from rllib_mamba.checking.checker import DEFAULT_EPISODES, DEFAULT_STEP_LIMIT, Report, check_environment
from rllib_mamba.checking.findings import Concerns, Finding, Severity

__all__ = [
    "DEFAULT_EPISODES",
    "DEFAULT_STEP_LIMIT",
    "Concerns",
    "Finding",
    "Report",
    "Severity",
    "check_environment",
]
