"""The options of QMIX."""

from __future__ import annotations

from typing import Any, Self

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig, NotProvided
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.utils.annotations import override

from rllib_mamba.algorithms.overlap import check_overlap
from rllib_mamba.algorithms.qmix.exploration import CountEnvStepsCallback
from rllib_mamba.algorithms.qmix.presets import PRESETS
from rllib_mamba.algorithms.qmix.ranges import check_ranges
from rllib_mamba.algorithms.schedule import UpdateUnit
from rllib_mamba.algorithms.team_config import Schedule, TeamAlgorithmConfig
from rllib_mamba.teams.metrics import DropModelOutputsCallback

#: Env steps of every environment per call of an env runner, where updates follow episodes.
_FRAGMENT_LENGTH = 20


class QMIXConfig(TeamAlgorithmConfig):
    """Configures QMIX (Rashid et al., "QMIX: Monotonic Value Function Factorisation", ICML 2018, arXiv 1803.11485).

    Example:
        .. code-block:: python

            from rllib_mamba import QMIXConfig

            config = (
                QMIXConfig()
                .environment("smax_3m")
                .env_runners(num_env_runners=2, num_envs_per_env_runner=4)
                .training(epsilon=[[0, 1.0], [50_000, 0.05]])
            )
            algorithm = config.build_algo()
            result = algorithm.train()

    A team learns from one reward, the mean or the sum of its agents' (`team_reward`), whatever each of them was given.
    Every option stands below with its meaning, range and source; `preset` sets many at once.
    """

    algorithm_name = "QMIX"
    known_presets = PRESETS
    model_options = (
        "hidden_size",
        "last_action_input",
        "agent_id_input",
        "mixer",
        "mixing_embedding_size",
        "hypernetwork_hidden_size",
        "normalize_state",
    )
    checkpoint_options = (*model_options, "optimizer_type")
    # The recurrent state is made anew from the replayed observations and actions.
    own_callbacks = (*TeamAlgorithmConfig.own_callbacks, CountEnvStepsCallback, DropModelOutputsCallback)

    def __init__(self, algo_class: type | None = None) -> None:
        if algo_class is None:
            from rllib_mamba.algorithms.qmix.qmix import QMIX

            algo_class = QMIX
        super().__init__(algo_class=algo_class)

        # The agents' network. Source, here and below, where nothing else is said: the publication's code.
        self.hidden_size = 64  # Width of the hidden layer and of the recurrent state; at least 1.
        self.last_action_input = True  # An agent's previous action is an input.
        self.agent_id_input = True  # An agent's place in the team is an input; the weights are shared by all.

        # From the agents' values to the team's. The code has `normalize_state` off, and states with small numbers.
        self.mixer: str | None = "qmix"  # "qmix"; "vdn" adds the values; None: each agent learns for itself.
        self.mixing_embedding_size = 32  # Width of the mixing network's hidden layer; at least 1.
        self.hypernetwork_hidden_size: int | None = 64  # Hidden layer of the weights' hypernetworks; None: linear.
        self.normalize_state = True  # The mixer sees every state with mean 0 and deviation 1 over its numbers.

        # Learning.
        self.lr: Schedule = 5e-4  # Above 0, or a schedule by env steps.
        self.optimizer_type = "rmsprop"  # "rmsprop" (smoothing 0.99, epsilon 1e-5) or "adam".
        self.grad_clip: float | None = 10.0  # Of the global norm; above 0, or None for no clipping.
        self.gamma = 0.99  # Discount per step; in (0, 1].
        self.td_lambda = 0.0  # Lambda of Peng's Q(lambda) in the targets, 0 for one step; in [0, 1].
        self.double_q = True  # The best action by the trained network, its value by the target network.
        self.batch_size = 32  # Episodes of an update over all learners; a multiple of the number of learners.
        self.target_update_interval = 200  # Updates between two refreshes of the target networks; at least 1.
        self.tau = 1.0  # Share of the trained weights in a refresh, 1 for a copy; in (0, 1].

        # Exploration.
        self.epsilon: Schedule = [[0, 1.0], [50_000, 0.05]]  # Share of random legal actions, or a schedule; in [0, 1].

        # Schedule of the updates. The first is due as soon as there are batch_size episodes.
        self.update_every = 1  # Episodes or env steps per cycle of updates; at least 1.
        self.update_every_unit: UpdateUnit = "episodes"  # "episodes", or "env_steps".
        self.updates_per_cycle = 1  # At least 0.
        self.min_steps_before_learning = 0  # Env steps collected before the first cycle; at least 0.

        # Speed.
        self.overlap_acting = False  # Env runners act while updates are made, with the weights from before them.
        self.max_weights_staleness = 1  # Cycles of updates that those weights may lack; at least 1.

        # Replay.
        self.replay_buffer_capacity_episodes = 5_000  # Episodes kept per team; at least batch_size.
        self.replay_buffer_capacity_env_steps: int | None = 1_000_000  # Env steps kept per team; None for no limit.
        self.replay_observation_dtype = "float32"  # "float32", or "float16" for half the memory.
        self.store_buffer_in_checkpoints = True  # False: smaller checkpoints, but a restored run starts empty.

        # RLlib's own settings, where ours differ.
        self.num_env_runners = 0
        self.num_envs_per_env_runner = 4
        self.rollout_fragment_length = "auto"
        # An iteration without a finished episode has no returns to report.
        self.min_sample_timesteps_per_iteration = 1_000

    @override(AlgorithmConfig)
    def training(
        self,
        *,
        hidden_size: int = NotProvided,
        last_action_input: bool = NotProvided,
        agent_id_input: bool = NotProvided,
        mixer: str | None = NotProvided,
        mixing_embedding_size: int = NotProvided,
        hypernetwork_hidden_size: int | None = NotProvided,
        normalize_state: bool = NotProvided,
        optimizer_type: str = NotProvided,
        td_lambda: float = NotProvided,
        double_q: bool = NotProvided,
        batch_size: int = NotProvided,
        target_update_interval: int = NotProvided,
        tau: float = NotProvided,
        epsilon: Schedule = NotProvided,
        update_every: int = NotProvided,
        update_every_unit: UpdateUnit = NotProvided,
        updates_per_cycle: int = NotProvided,
        min_steps_before_learning: int = NotProvided,
        overlap_acting: bool = NotProvided,
        max_weights_staleness: int = NotProvided,
        replay_buffer_capacity_episodes: int = NotProvided,
        replay_buffer_capacity_env_steps: int | None = NotProvided,
        replay_observation_dtype: str = NotProvided,
        store_buffer_in_checkpoints: bool = NotProvided,
        team_reward: str = NotProvided,
        **kwargs: Any,
    ) -> Self:
        """Sets the training options.

        Their meaning, range and source stand beside their defaults in `QMIXConfig.__init__` and in
        `docs/options_qmix.md`. `lr`, `gamma`, `grad_clip` and RLlib's further training options are taken as well.

        Returns:
            This configuration, changed.
        """
        given = locals()
        super().training(**kwargs)
        return self._set_given(given)

    @override(TeamAlgorithmConfig)
    def check_options(self) -> None:
        """Checks every option by itself and with others, without making the environment.

        Raises:
            ValueError: An option is unknown, out of range or contradicts another.
        """
        check_ranges(self)
        if self.batch_size > self.replay_buffer_capacity_episodes:
            raise ValueError(
                f"batch_size={self.batch_size} exceeds replay_buffer_capacity_episodes="
                f"{self.replay_buffer_capacity_episodes}: there would never be enough episodes for an update. Take a "
                "smaller batch or enlarge the replay."
            )
        learners = max(1, self.num_learners)
        if self.batch_size % learners:
            raise ValueError(
                f"batch_size={self.batch_size} is not a multiple of num_learners={learners}: every learner takes an "
                "equal share of the episodes. Change one of the two."
            )
        check_overlap(self)
        super().check_options()

    @override(AlgorithmConfig)
    def get_rollout_fragment_length(self, worker_index: int = 0) -> int:
        """Env steps each environment makes per call, so that all together make about `update_every`."""
        if self.rollout_fragment_length != "auto":
            return int(self.rollout_fragment_length)
        if self.update_every_unit == "episodes":
            return _FRAGMENT_LENGTH
        return max(1, self.update_every // (self.num_envs_per_env_runner * max(1, self.num_env_runners)))

    @override(AlgorithmConfig)
    def get_default_learner_class(self) -> type:
        """The learner that trains agent network and mixer."""
        from rllib_mamba.algorithms.qmix.learner import QMIXLearner

        return QMIXLearner

    @override(AlgorithmConfig)
    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """The module of a team."""
        from rllib_mamba.algorithms.qmix.rl_module import QMIXRLModule

        return RLModuleSpec(module_class=QMIXRLModule)

    @property
    @override(AlgorithmConfig)
    def _model_config_auto_includes(self) -> dict[str, Any]:
        return super()._model_config_auto_includes | {"epsilon": self.epsilon}
