"""The options of MAPPO."""

from __future__ import annotations

from typing import Any, Self

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig, NotProvided
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.utils.annotations import override

from rllib_mamba.algorithms.mappo.presets import PRESETS
from rllib_mamba.algorithms.mappo.ranges import RANGES
from rllib_mamba.algorithms.team_config import Schedule, TeamAlgorithmConfig

#: Options of RLlib's that MAPPO does not heed -> what stands for them.
_INSTEAD = {
    "lr": "actor_lr and critic_lr",
    "grad_clip": "actor_grad_clip_by_global_norm and critic_grad_clip_by_global_norm",
    "minibatch_size": "num_minibatches",
    "train_batch_size": "train_batch_size_per_learner",
}


class MAPPOConfig(TeamAlgorithmConfig):
    """Configures MAPPO (Yu et al., "The Surprising Effectiveness of PPO in Cooperative, Multi-Agent Games", 2022).

    Example:
        .. code-block:: python

            from rllib_mamba import MAPPOConfig

            config = (
                MAPPOConfig()
                .environment("smax_3m")
                .env_runners(num_env_runners=2, num_envs_per_env_runner=4)
                .training(num_epochs=10, entropy_coeff=0.01)
            )
            algorithm = config.build_algo()
            result = algorithm.train()

    `use_centralized_critic=False` makes it independent PPO (IPPO). Every option stands below with its meaning, range
    and source; `preset` sets many at once.
    """

    algorithm_name = "MAPPO"
    known_presets = PRESETS
    model_options = (
        "hidden_size",
        "num_hidden_layers",
        "normalize_inputs",
        "recurrent",
        "max_seq_len",
        "share_policy",
        "agent_id_input",
        "use_centralized_critic",
        "agent_specific_critic",
        "death_masking",
        "value_normalization",
    )
    checkpoint_options = tuple(name for name in model_options if name not in ("max_seq_len", "death_masking"))

    def __init__(self, algo_class: type | None = None) -> None:
        if algo_class is None:
            from rllib_mamba.algorithms.mappo.mappo import MAPPO

            algo_class = MAPPO
        super().__init__(algo_class=algo_class)

        # Networks. Source: the publication's appendix C.
        self.hidden_size = 64  # Width of every hidden layer and of the GRU; at least 1.
        self.num_hidden_layers = 2  # Hidden layers before the GRU or the output; at least 1.
        self.normalize_inputs = (
            True  # Layer normalisation of the inputs; False where they are few and their size counts.
        )
        self.recurrent = True  # A GRU in actor and critic; False: they remember nothing.
        self.max_seq_len = 10  # Env steps through which the GRU is trained at once; at least 1.
        self.share_policy = True  # One actor and critic for all agents; False: each agent has its own.
        self.agent_id_input = True  # The agent's place in the team is an input of actor and critic.

        # What the critic sees. Source: the publication's section 5.2.
        self.use_centralized_critic = True  # State, or all observations; False: its own only (independent PPO).
        self.agent_specific_critic = True  # The agent's own observation beside the state.
        self.death_masking = True  # After its end an agent earns the shared reward on; its critic sees zeros.

        # Learning.
        self.actor_lr: Schedule = 5e-4  # Adam; above 0, or a schedule by env steps.
        self.critic_lr: Schedule = 5e-4  # Adam; above 0, or a schedule by env steps.
        self.gamma = 0.99  # Discount per step; in (0, 1].
        self.gae_lambda = 0.95  # Lambda of the advantages; in [0, 1].
        self.clip_param = 0.2  # PPO's clip of the probability ratio; above 0.
        self.entropy_coeff: Schedule = 0.01  # Weight of the policy's entropy; at least 0, or a schedule.
        self.value_normalization: str | None = (
            "running"  # Mean and deviation; "popart" keeps values as they are; or None.
        )
        self.value_clip_param: float | None = 0.2  # Clip of a value's change, in normalised units; above 0, or None.
        self.huber_delta: float | None = 10.0  # Error from which the value loss is linear; above 0, or None.
        self.normalize_advantages = True  # To zero mean and unit deviation over the batch.
        self.shared_reward = True  # Agents learn from the team's reward; False: each from its own.
        self.actor_grad_clip_by_global_norm: float | None = 10.0  # Above 0, or None.
        self.critic_grad_clip_by_global_norm: float | None = 10.0  # Above 0, or None.
        self.num_epochs = 10  # Passes over a batch; at least 1 (the publication: 5 for hard games, 15 for easy ones).
        self.num_minibatches = 1  # Parts of a batch that a pass makes steps on; at least 1.

        # RLlib's own settings, where ours differ.
        self.train_batch_size_per_learner = 3_200  # Env steps of a batch; at least 1.
        self.num_env_runners = 0
        self.num_envs_per_env_runner = 8
        self.rollout_fragment_length = "auto"

    @override(AlgorithmConfig)
    def training(
        self,
        *,
        hidden_size: int = NotProvided,
        num_hidden_layers: int = NotProvided,
        normalize_inputs: bool = NotProvided,
        recurrent: bool = NotProvided,
        max_seq_len: int = NotProvided,
        share_policy: bool = NotProvided,
        agent_id_input: bool = NotProvided,
        use_centralized_critic: bool = NotProvided,
        agent_specific_critic: bool = NotProvided,
        death_masking: bool = NotProvided,
        actor_lr: Schedule = NotProvided,
        critic_lr: Schedule = NotProvided,
        gae_lambda: float = NotProvided,
        clip_param: float = NotProvided,
        entropy_coeff: Schedule = NotProvided,
        value_normalization: str | None = NotProvided,
        value_clip_param: float | None = NotProvided,
        huber_delta: float | None = NotProvided,
        normalize_advantages: bool = NotProvided,
        shared_reward: bool = NotProvided,
        actor_grad_clip_by_global_norm: float | None = NotProvided,
        critic_grad_clip_by_global_norm: float | None = NotProvided,
        num_minibatches: int = NotProvided,
        team_reward: str = NotProvided,
        **kwargs: Any,
    ) -> Self:
        """Sets the training options.

        Their meaning, range and source stand beside their defaults in `MAPPOConfig.__init__` and in
        `docs/options_mappo.md`. `gamma`, `num_epochs`, `train_batch_size_per_learner` and RLlib's further training
        options are taken as well.

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
        RANGES.check(self)
        defaults = AlgorithmConfig()
        for name, instead in _INSTEAD.items():
            if getattr(self, name) != getattr(defaults, name):
                raise ValueError(f"{name}={getattr(self, name)!r} has no effect on MAPPO: set {instead}.")
        super().check_options()

    @override(TeamAlgorithmConfig)
    def validate(self) -> None:
        """Checks every option, then forms the teams.

        Raises:
            ValueError: An option is unknown, out of range or contradicts another, or the environment's
                agents cannot be formed into teams.
            TypeError: The environment is not a `MultiAgentEnv`.
        """
        super().validate()
        self.validate_train_batch_size_vs_rollout_fragment_length()

    @override(AlgorithmConfig)
    def get_default_learner_class(self) -> type:
        """The learner that trains actor and critic."""
        from rllib_mamba.algorithms.mappo.learner import MAPPOLearner

        return MAPPOLearner

    @override(AlgorithmConfig)
    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """The module of a team."""
        from rllib_mamba.algorithms.mappo.rl_module import MAPPORLModule

        return RLModuleSpec(module_class=MAPPORLModule)
