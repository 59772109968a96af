"""The options of MAMBA."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig, NotProvided
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.utils.annotations import override

from rllib_mamba.algorithms.mamba.presets import PAPER, PRESETS, SIZES
from rllib_mamba.algorithms.mamba.ranges import check_ranges
from rllib_mamba.algorithms.overlap import check_overlap
from rllib_mamba.algorithms.team_config import Schedule, TeamAlgorithmConfig
from rllib_mamba.teams.metrics import DropModelOutputsCallback


class MAMBAConfig(TeamAlgorithmConfig):
    """Configures MAMBA (Egorov and Shpilman, "Scalable Multi-Agent Model-Based Reinforcement Learning", AAMAS 2022).

    Example:
        .. code-block:: python

            from rllib_mamba import MAMBAConfig

            config = (
                MAMBAConfig()
                .environment("flatland_5_agents")
                .preset("small")
                .env_runners(num_env_runners=2, num_envs_per_env_runner=4)
                .training(world_model_updates=20, horizon=15)
            )
            algorithm = config.build_algo()
            result = algorithm.train()

    Every option stands below with its meaning, range and source; `preset` sets many at once.
    """

    algorithm_name = "MAMBA"
    known_presets = PRESETS
    model_options = (
        "hidden_size",
        "deterministic_size",
        "num_categoricals",
        "num_classes",
        "communication",
        "communication_layers",
        "communication_heads",
        "communication_dropout",
        "predict_action_mask",
        "normalize_observations",
        "mask_dead_agents",
        "mixed_precision",
    )
    checkpoint_options = tuple(
        name for name in model_options if name not in ("communication_dropout", "mask_dead_agents", "mixed_precision")
    )
    # The recurrent state is made anew from the replayed observations and actions.
    own_callbacks = (*TeamAlgorithmConfig.own_callbacks, DropModelOutputsCallback)

    def __init__(self, algo_class: type | None = None) -> None:
        if algo_class is None:
            from rllib_mamba.algorithms.mamba.mamba import MAMBA

            algo_class = MAMBA
        super().__init__(algo_class=algo_class)

        # Sizes. Source: the publication's code, its StarCraft preset.
        self.hidden_size = 256  # Width of every hidden layer and of the embedding; divisible by communication_heads.
        self.deterministic_size = 256  # Width of the recurrent state h; at least 1.
        self.num_categoricals = 32  # Categorical variables of a latent sample z; at least 1.
        self.num_classes = 32  # Classes of each of them; at least 2.

        # Communication between the agents of a team. Source: section 4 of the publication.
        self.communication = True  # False: every agent hears only itself (an ablation).
        self.communication_layers = 3  # Transformer layers over the agents; at least 1.
        self.communication_heads = 8  # Attention heads, of world model and critic; divides hidden_size.
        self.communication_dropout = 0.1  # In world-model training only; in [0, 1).

        # World-model training.
        self.sequence_length = 20  # T, env steps of a replayed sequence; at least 4, at most the replay's capacity.
        self.batch_size = 40  # B, sequences of an update over all learners; a multiple of the number of learners.
        self.world_model_lr: Schedule = 2e-4  # Adam; above 0, or a schedule by env steps.
        self.world_model_grad_clip_by_global_norm: float | None = 100.0  # Above 0, or None for no clipping.
        self.kl_balance = 0.2  # Weight of the KL's posterior side, the rest on the prior's; in [0, 1].
        self.loss_scales: dict[
            str, float
        ] = {}  # Factors on world-model losses by name, at least 0; 1 where none is given.
        self.normalize_reward_loss = True  # Count rewards in units of their running root mean square.
        self.normalize_observations = False  # Read and learn each observed feature in units of its running deviation.
        self.predict_action_mask: bool | None = None  # Learn which actions are legal; None: where there are masks.

        # How a replayed sequence is read. The defaults mend what the published code leaves wanting; see `paper`.
        self.mask_dead_agents = True  # Nobody listens to an agent that has ended; it teaches actor and critic nothing.
        self.mask_communication = True  # The environment's communication mask holds in training as in execution.
        self.reset_previous_action = True  # The previous action is zero at an episode's first step.
        self.truncation_is_terminal = False  # True: a time limit teaches the world model that the episode ends.
        self.absorbing_steps = 2  # Rows stored after an episode that ended by itself; at least 0.

        # Learning in imagination.
        self.horizon = 15  # Imagined steps; at least 2.
        self.actor_lr: Schedule = 5e-4  # Adam; above 0, or a schedule by env steps.
        self.critic_lr: Schedule = 5e-4  # Adam; above 0, or a schedule by env steps.
        self.actor_weight_decay = 1e-5  # L2 added to the gradient; at least 0.
        self.actor_grad_clip_by_global_norm: float | None = 100.0  # Above 0, or None.
        self.critic_grad_clip_by_global_norm: float | None = 100.0  # Above 0, or None.
        self.gamma = 0.99  # Discount per step; in (0, 1].
        self.gae_lambda = 0.95  # Lambda of the lambda-return; in [0, 1].
        self.entropy_coeff: Schedule = 0.01  # Weight of the policy's entropy (paper: 0.001); at least 0, or a schedule.
        self.entropy_decay = 0.99998  # Factor on that weight after every minibatch; in (0, 1].
        self.clip_param = 0.2  # PPO's clip of the probability ratio; above 0.
        self.num_epochs = 5  # PPO epochs over the imagined rows; at least 1.
        self.minibatch_size = 2000  # Imagined rows (all agents of a row together) per PPO step; at least 1.
        self.shared_reward = True  # Agents learn from the team's mean imagined reward; False: each from its own.
        self.normalize_advantages = True  # To zero mean and unit deviation over the imagined batch.
        self.weigh_by_continuation = True  # Imagined steps count as much as it is probable that the agent is there.
        self.use_target_critic = False  # Bootstrap lambda-returns from a copy of the critic.
        self.target_update_interval = 1  # Minibatches between two refreshes of that copy; at least 1.

        # Schedule of the updates. One cycle = so many world-model updates, then so many agent updates.
        self.update_every: int | str = 100  # Env steps per cycle, or "episode" for one per finished episode.
        self.world_model_updates = 20  # Per cycle; at least 0.
        self.agent_updates = 2  # Per cycle; at least 0.
        self.min_steps_before_learning = 1_000  # Env steps collected before the first cycle; at least 0.
        self.agent_reset_steps: Sequence[int] = ()  # Actor and critic begin anew at these env steps, which rise.
        self.agent_updates_after_reset = 50  # At once after each of them, beside the cycle's own; at least 0.

        # Speed.
        self.mixed_precision = False  # Matrix products of updates and acting in bfloat16; the rest in float32.
        self.overlap_acting = False  # Env runners act while updates are made, with the weights from before them.
        self.max_weights_staleness = 1  # Cycles of updates that those weights may lack; at least 1.

        # Replay.
        self.replay_buffer_capacity = 250_000  # Env steps kept per team; at least sequence_length.
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
        deterministic_size: int = NotProvided,
        num_categoricals: int = NotProvided,
        num_classes: int = NotProvided,
        communication: bool = NotProvided,
        communication_layers: int = NotProvided,
        communication_heads: int = NotProvided,
        communication_dropout: float = NotProvided,
        sequence_length: int = NotProvided,
        batch_size: int = NotProvided,
        world_model_lr: Schedule = NotProvided,
        world_model_grad_clip_by_global_norm: float | None = NotProvided,
        kl_balance: float = NotProvided,
        loss_scales: dict[str, float] = NotProvided,
        normalize_reward_loss: bool = NotProvided,
        normalize_observations: bool = NotProvided,
        predict_action_mask: bool | None = NotProvided,
        mask_dead_agents: bool = NotProvided,
        mask_communication: bool = NotProvided,
        reset_previous_action: bool = NotProvided,
        truncation_is_terminal: bool = NotProvided,
        absorbing_steps: int = NotProvided,
        horizon: int = NotProvided,
        actor_lr: Schedule = NotProvided,
        critic_lr: Schedule = NotProvided,
        actor_weight_decay: float = NotProvided,
        actor_grad_clip_by_global_norm: float | None = NotProvided,
        critic_grad_clip_by_global_norm: float | None = NotProvided,
        gae_lambda: float = NotProvided,
        entropy_coeff: Schedule = NotProvided,
        entropy_decay: float = NotProvided,
        clip_param: float = NotProvided,
        shared_reward: bool = NotProvided,
        normalize_advantages: bool = NotProvided,
        weigh_by_continuation: bool = NotProvided,
        use_target_critic: bool = NotProvided,
        target_update_interval: int = NotProvided,
        update_every: int | str = NotProvided,
        world_model_updates: int = NotProvided,
        agent_updates: int = NotProvided,
        min_steps_before_learning: int = NotProvided,
        agent_reset_steps: Sequence[int] = NotProvided,
        agent_updates_after_reset: int = NotProvided,
        mixed_precision: bool = NotProvided,
        overlap_acting: bool = NotProvided,
        max_weights_staleness: int = NotProvided,
        replay_buffer_capacity: int = NotProvided,
        replay_observation_dtype: str = NotProvided,
        store_buffer_in_checkpoints: bool = NotProvided,
        team_reward: str = NotProvided,
        **kwargs: Any,
    ) -> Self:
        """Sets the training options.

        Their meaning, range and source stand beside their defaults in `MAMBAConfig.__init__` and in
        `docs/options.md`. `gamma`, `num_epochs`, `minibatch_size` and RLlib's further training options
        are taken as well.

        Returns:
            This configuration, changed.
        """
        given = locals()
        super().training(**kwargs)
        return self._set_given(given)

    @override(TeamAlgorithmConfig)
    def preset(self, name: str) -> Self:
        """Sets many options at once: `paper` for the published mathematics, or one of the sizes.

        The sizes are `debug`, `small`, `smac` and `flatland`; `paper` may be combined with any, in any
        order, and wins where both speak.

        Raises:
            ValueError: The name is unknown, or contradicts a preset given before.

        Returns:
            This configuration, changed.
        """
        self._check_preset(name)
        sizes = [given for given in self.presets if given in SIZES]
        if name in SIZES and sizes and name not in sizes:
            raise ValueError(f"The presets {sizes[0]!r} and {name!r} contradict each other: choose one of the sizes.")
        for option, value in PRESETS[name].items():
            if name == "paper" or "paper" not in self.presets or option not in PAPER:
                setattr(self, option, value)
        self._note_preset(name)
        return self

    @override(TeamAlgorithmConfig)
    def check_options(self) -> None:
        """Checks every option by itself and with others, without making the environment.

        Raises:
            ValueError: An option is unknown, out of range or contradicts another.
        """
        check_ranges(self)
        self._check_combinations()
        super().check_options()

    def _check_combinations(self) -> None:
        if self.hidden_size % self.communication_heads:
            raise ValueError(
                f"hidden_size={self.hidden_size} is not divisible by communication_heads={self.communication_heads}: "
                "the attention heads share the hidden layer. Change one of the two."
            )
        if self.sequence_length > self.replay_buffer_capacity:
            raise ValueError(
                f"sequence_length={self.sequence_length} exceeds replay_buffer_capacity={self.replay_buffer_capacity}: "
                "no sequence would fit into the replay. Shorten the sequences or enlarge the replay."
            )
        learners = max(1, self.num_learners)
        if self.batch_size % learners:
            raise ValueError(
                f"batch_size={self.batch_size} is not a multiple of num_learners={learners}: every learner takes an "
                "equal share of the sequences. Change one of the two."
            )
        check_overlap(self)
        if "paper" in self.presets:
            changed = {name: getattr(self, name) for name, value in PAPER.items() if getattr(self, name) != value}
            if changed:
                details = ", ".join(f"{name}={value!r} (paper: {PAPER[name]!r})" for name, value in changed.items())
                raise ValueError(
                    f"These options contradict the preset 'paper': {details}. Leave them, or start from another preset."
                )

    @override(AlgorithmConfig)
    def get_rollout_fragment_length(self, worker_index: int = 0) -> int:
        """Env steps each environment makes per call, so that all together make about `update_every`."""
        if self.rollout_fragment_length != "auto":
            return int(self.rollout_fragment_length)
        steps = self.update_every if isinstance(self.update_every, int) else self.sequence_length
        return max(1, steps // (self.num_envs_per_env_runner * max(1, self.num_env_runners)))

    @override(AlgorithmConfig)
    def get_default_learner_class(self) -> type:
        """The learner that trains world model, actor and critic."""
        from rllib_mamba.algorithms.mamba.learner import MAMBALearner

        return MAMBALearner

    @override(AlgorithmConfig)
    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """The module of a team."""
        from rllib_mamba.algorithms.mamba.rl_module import MAMBARLModule

        return RLModuleSpec(module_class=MAMBARLModule)
