"""Names that Ray does not promise to keep: a clear failure here comes before a puzzling one elsewhere."""

import importlib
import inspect

import pytest

USED = [
    ("ray.tune.registry", "_global_registry", "registry.py"),
    ("ray.rllib.env.multi_agent_env_runner", "self._weights_seq_no =", "algorithms/team_algorithm.py"),
    ("ray.rllib.env.multi_agent_env_runner", "self._needs_initial_reset =", "teams/env_runner.py"),
    ("ray.rllib.env.multi_agent_env_runner", "samples = self._sample(", "teams/env_runner.py"),
    ("ray.rllib.env.multi_agent_env_runner", "env_ts += self._increase_sampled_metrics(", "teams/env_runner.py"),
    ("ray.rllib.env.env_runner", "self._seed", "teams/env_runner.py"),
    ("ray.rllib.env.vector.sync_vector_multi_agent_env", "self._infos =", "teams/metrics.py"),
    ("ray.rllib.core.learner.learner", "self._weights_seq_no =", "algorithms/team_learner.py"),
    ("ray.rllib.core.learner.learner", "self._optimizer_lr_schedules[optimizer] =", "algorithms/team_learner.py"),
    ("ray.rllib.core.learner.learner", "self._named_optimizers", "algorithms/team_learner.py"),
    ("ray.rllib.core.learner.torch.torch_learner", "def _set_optimizer_state", "algorithms/team_learner.py"),
    ("ray.rllib.core.learner.learner", "self._learner_index =", "algorithms/team_learner.py"),
    ("ray.rllib.core.learner.torch.torch_learner", "def _make_modules_ddp_if_necessary", "algorithms/team_learner.py"),
    ("ray.rllib.core.learner.learner", "self._learner_connector =", "algorithms/mappo/learner.py"),
    ("ray.rllib.core.learner.learner", "def _log_trainable_parameters", "algorithms/team_learner.py"),
    ("ray.rllib.algorithms.algorithm_config", "self._rl_module_spec", "algorithms/team_config.py"),
    ("ray.rllib.algorithms.algorithm_config", "self._is_frozen =", "algorithms/team_config.py"),
    ("ray.rllib.algorithms.algorithm_config", "self._env_to_module_connector =", "cli/environments.py"),
    ("ray.rllib.algorithms.algorithm_config", "self._module_to_env_connector =", "algorithms/team_config.py"),
    ("ray.data._internal.cluster_autoscaler.util", "def is_autoscaling_enabled", "algorithms/resources.py"),
    ("ray.tune.schedulers.pbt", "def _get_new_config", "tuning/population.py"),
    ("ray.tune.schedulers.pbt", "def _exploit", "tuning/population.py"),
    ("ray.tune.schedulers.pbt", "self._hyperparam_mutations =", "tuning/population.py"),
    ("ray.tune.execution.tune_controller", "_FutureTrainingResult", "tuning/scheduler_state.py"),
    ("ray.tune.schedulers.hyperband", "self._hyperbands =", "tuning/scheduler_state.py"),
    ("ray.tune.schedulers.hyperband", "self._live_trials =", "tuning/scheduler_state.py"),
    ("ray.tune.tuner", "self._local_tuner =", "cli/tune_run.py"),
    ("ray.tune.impl.tuner_internal", "def get_run_config", "cli/tune_run.py"),
    ("ray._private.worker", "_worker_logs_enabled", "cli/cluster.py"),
]


@pytest.mark.parametrize(("module", "text", "user"), USED)
def test_ray_still_has_what_we_use(module: str, text: str, user: str) -> None:
    source = inspect.getsource(importlib.import_module(module))
    assert text in source, f"Ray changed: {module} no longer has `{text}`, which rllib_mamba/{user} relies on."
