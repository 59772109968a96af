"""What sweeps need beside Tune: populations with schedules, patience with metrics, schedulers that can be resumed."""

from rllib_mamba.tuning.population import PopulationBasedTraining
from rllib_mamba.tuning.scheduler_state import KeepSchedulerState
from rllib_mamba.tuning.searching import WaitForMetric

__all__ = ["KeepSchedulerState", "PopulationBasedTraining", "WaitForMetric"]
