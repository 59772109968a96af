"""What the configurations of all team algorithms share: agents that use one module become one team."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import gymnasium as gym
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig, NotProvided
from ray.rllib.connectors.connector_pipeline_v2 import ConnectorPipelineV2
from ray.rllib.connectors.env_to_module import EnvToModulePipeline
from ray.rllib.connectors.module_to_env import ModuleToEnvPipeline
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.env.env_context import EnvContext
from ray.rllib.policy.policy import PolicySpec
from ray.rllib.policy.sample_batch import DEFAULT_POLICY_ID
from ray.rllib.utils.annotations import override

from rllib_mamba.curriculum import CURRICULUM_KEY, Curriculum, CurriculumCallback, check_tasks
from rllib_mamba.registry import make_environment
from rllib_mamba.teams import TEAM_SETUP_KEY, ConfiguredTeamEnv, TeamSetup, form_teams
from rllib_mamba.teams.connectors import ModulesToTeams, TeamsToModules
from rllib_mamba.teams.env_runner import RaiseDataErrorsCallback, TeamEnvRunner
from rllib_mamba.teams.metrics import TeamMetricsCallback
from rllib_mamba.teams.spaces import agent_spaces as check_agent_spaces
from rllib_mamba.teams.spaces import possible_agents
from rllib_mamba.teams.team_env import TeamReward

#: A number, or RLlib's schedule: [[env step, value], ...].
Schedule = float | list[list[float]]

#: The module (and team) of all agents where the user maps none.
DEFAULT_TEAM = "team"


class TeamPolicyMapping:
    """Maps a team to its module, whose name it bears, and remembers the user's mapping of agents.

    Picklable, so that it travels to env runners and into checkpoints.
    """

    def __init__(self, agent_mapping: Callable[..., str]) -> None:
        self.agent_mapping = agent_mapping

    def __call__(self, team_id: str, episode: Any = None, **kwargs: Any) -> str:
        return team_id


def all_agents_in_one_team(agent_id: Any, episode: Any = None, **kwargs: Any) -> str:
    """Maps every agent to `DEFAULT_TEAM`."""
    return DEFAULT_TEAM


class TeamAlgorithmConfig(AlgorithmConfig):
    """An `AlgorithmConfig` that turns the user's environment into one whose RLlib agents are teams.

    Users configure it as any RLlib algorithm. On `validate()` the environment is created once, the
    user's `policy_mapping_fn` is called for each of its possible agents, the agents of each module
    become a team, and the environment is wrapped into a `ConfiguredTeamEnv`.
    """

    #: The name of the algorithm.
    algorithm_name: ClassVar[str]
    #: Options that shape the networks and how they are used: the module's `model_config`.
    model_options: ClassVar[tuple[str, ...]] = ()
    #: Options that must be those a checkpoint was made with, as weights or optimizers would not fit otherwise.
    checkpoint_options: ClassVar[tuple[str, ...]] = ()
    #: What `preset` takes: options by name of the preset.
    known_presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    #: Callbacks in force beside the user's.
    own_callbacks: tuple[type, ...] = (TeamMetricsCallback, RaiseDataErrorsCallback, CurriculumCallback)

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class)
        #: A team's scalar reward for RLlib: the "mean" or the "sum" of its members' rewards.
        self.team_reward: TeamReward = "mean"
        #: The tasks of training episodes, see `Curriculum.from_description`; also taken from env_config["curriculum"].
        self.curriculum: dict[str, Any] | None = None
        #: Agent id -> its observation and action space, for all possible agents; filled by `validate()`.
        self.agent_spaces: dict[Any, tuple[gym.Space, gym.Space]] = {}
        #: Names given to `preset`, in order.
        self.presets: list[str] = []
        self.callbacks_class = list(self.own_callbacks)
        self.env_runner_cls = TeamEnvRunner
        # TeamEnv checks what the environment gives, at every step. RLlib's check would reset all environments of a
        # runner with one and the same seed.
        self.disable_env_checking = True

    @property
    def user_env(self) -> Any:
        """The environment specifier as the user gave it, before it was wrapped into teams."""
        setup = self.env_config.get(TEAM_SETUP_KEY)
        return setup.env if self.env is ConfiguredTeamEnv and setup is not None else self.env

    @property
    def user_env_config(self) -> dict[str, Any]:
        """The `env_config` as the user gave it; after `validate()` without the curriculum."""
        return {key: value for key, value in self.env_config.items() if key != TEAM_SETUP_KEY}

    @property
    def teams(self) -> dict[str, tuple[Any, ...]]:
        """The teams: module id -> agent ids in their fixed order; empty before `validate()`."""
        setup = self.env_config.get(TEAM_SETUP_KEY)
        return dict(setup.teams) if setup is not None else {}

    def callbacks(self, callbacks_class: Any = NotProvided, **kwargs: Any) -> Self:
        """Sets the user's callbacks as RLlib does; the algorithm's own stay in force."""
        if callbacks_class is not NotProvided:
            given = callbacks_class if isinstance(callbacks_class, list | tuple) else [callbacks_class]
            kwargs["callbacks_class"] = [*self.own_callbacks, *(c for c in given if c not in self.own_callbacks)]
        return super().callbacks(**kwargs)

    @override(AlgorithmConfig)
    def build_env_to_module_connector(self, env: Any = None, spaces: Any = None, device: Any = None) -> Any:
        """RLlib's pipeline, made shorter where the user puts nothing into it."""
        pipeline = super().build_env_to_module_connector(env=env, spaces=spaces, device=device)
        if not self._has_plain_connectors:
            return pipeline
        return EnvToModulePipeline(**_spaces_of(pipeline), connectors=[TeamsToModules(device=device)])

    @override(AlgorithmConfig)
    def build_module_to_env_connector(self, env: Any = None, spaces: Any = None) -> Any:
        """RLlib's pipeline, made shorter where the user puts nothing into it."""
        pipeline = super().build_module_to_env_connector(env=env, spaces=spaces)
        if not self._has_plain_connectors:
            return pipeline
        return ModuleToEnvPipeline(**_spaces_of(pipeline), connectors=[ModulesToTeams()])

    @property
    def _has_plain_connectors(self) -> bool:
        return (
            self.env is ConfiguredTeamEnv
            and self._env_to_module_connector is None
            and self._module_to_env_connector is None
            and self.add_default_connectors_to_env_to_module_pipeline
            and self.add_default_connectors_to_module_to_env_pipeline
        )

    def _set_given(self, arguments: Mapping[str, Any]) -> Self:
        """Sets those options of a `training` method that were given, from its `locals()`."""
        for name, value in arguments.items():
            if name not in ("self", "kwargs", "__class__") and value is not NotProvided:
                setattr(self, name, value)
        return self

    def preset(self, name: str) -> Self:
        """Sets many options at once.

        Raises:
            ValueError: The name is unknown.

        Returns:
            This configuration, changed.
        """
        self._check_preset(name)
        for option, value in self.known_presets[name].items():
            setattr(self, option, value)
        self._note_preset(name)
        return self

    def _check_preset(self, name: str) -> None:
        if name not in self.known_presets:
            nearest = difflib.get_close_matches(str(name), self.known_presets, n=1)
            hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
            raise ValueError(
                f"{self.algorithm_name} has no preset {name!r}; it has {', '.join(self.known_presets)}.{hint}"
            )

    def _note_preset(self, name: str) -> None:
        if name not in self.presets:
            self.presets = [*self.presets, name]

    @override(AlgorithmConfig)
    def update_from_dict(self, config_dict: dict[str, Any]) -> Self:
        """Sets options from a dictionary, as Tune does; the key "preset" (a name or a list) is applied first."""
        config_dict = dict(config_dict)
        names = config_dict.pop("preset", [])
        for name in [names] if isinstance(names, str) else names:
            self.preset(name)
        return super().update_from_dict(config_dict)

    def check_options(self) -> None:
        """Checks every option by itself and with others, without making the environment.

        Raises:
            ValueError: An option is unknown, out of range or contradicts another.
        """
        if not self._is_frozen:
            self._check_for_unknown_options()

    @override(AlgorithmConfig)
    def validate(self) -> None:
        """Checks every option and forms the teams.

        Raises:
            ValueError: An option is unknown, out of range or contradicts another; the environment's
                agents have spaces that are not supported, or cannot be mapped to modules; a module belongs to no
                team, or has options of its own that are wrong; no team is to be trained; or the curriculum is wrong.
            TypeError: The environment is not a `MultiAgentEnv`.
        """
        self.check_options()
        if not self._is_frozen:
            self._form_teams()
            self._check_overrides()
        super().validate()
        if not self.trained_teams:
            raise ValueError(
                f"No team is trained: the teams are {sorted(self.teams)}, policies_to_train={self.policies_to_train!r} "
                "and a team with a module of its own kind in `rl_module(rl_module_spec=...)` is not trained. Leave at "
                f"least one team to {self.algorithm_name}."
            )

    @property
    def trained_teams(self) -> list[str]:
        """The teams that `policies_to_train` names (all, if None) and that have a module of this algorithm."""
        return [team for team in sorted(self.teams) if self._is_to_be_trained(team) and self._has_own_module(team)]

    @property
    def team_module_class(self) -> type[Any]:
        """The class of the modules that this algorithm trains."""
        return self.get_default_rl_module_spec().module_class

    def _is_to_be_trained(self, team: str) -> bool:
        to_train = self.policies_to_train
        if to_train is None:
            return True
        return bool(to_train(team, None)) if callable(to_train) else team in to_train

    def _has_own_module(self, team: str) -> bool:
        spec = self._rl_module_spec
        if isinstance(spec, MultiRLModuleSpec):
            spec = spec.rl_module_specs.get(team)
        module_class = spec.module_class if spec is not None else None
        return module_class is None or issubclass(module_class, self.team_module_class)

    @property
    @override(AlgorithmConfig)
    def _model_config_auto_includes(self) -> dict[str, Any]:
        return super()._model_config_auto_includes | {name: getattr(self, name) for name in self.model_options}

    def _check_for_unknown_options(self) -> None:
        known = vars(type(self)())
        for name in vars(self):
            # Tune puts entries of its own, such as "__stdout_file__", among the options.
            if name not in known and name != "class" and not name.startswith("__"):
                nearest = difflib.get_close_matches(name, known, n=3)
                hint = f" Did you mean {', '.join(nearest)}?" if nearest else ""
                raise ValueError(f"{type(self).__name__} has no option {name!r}.{hint}")

    def _form_teams(self) -> None:
        if self.env is None:
            raise ValueError(
                "No environment is configured: call `config.environment('flatland_5_agents')` with a registered name, "
                "a `MultiAgentEnv` class, 'module:Class' or 'pettingzoo:<module>'."
            )
        specifier, env_config = self.user_env, self.user_env_config
        given_tasks = env_config.pop(CURRICULUM_KEY, None)
        if given_tasks is not None:
            self.curriculum = given_tasks
        curriculum = Curriculum.from_description(self.curriculum) if self.curriculum is not None else None
        environment = make_environment(specifier, EnvContext(env_config, worker_index=0))
        try:
            agents = possible_agents(environment)
            for agent in agents:
                check_agent_spaces(environment, agent)
            self.agent_spaces = {
                agent: (environment.get_observation_space(agent), environment.get_action_space(agent))
                for agent in agents
            }
            if curriculum is not None and given_tasks is not None:
                check_tasks(curriculum, environment)
        finally:
            environment.close()
        mapping = self.policy_mapping_fn
        if isinstance(mapping, TeamPolicyMapping):
            mapping = mapping.agent_mapping
        elif set(self.policies) == {DEFAULT_POLICY_ID}:
            mapping = all_agents_in_one_team
        teams = form_teams(agents, mapping)
        given = self.policies
        specs = dict(given) if isinstance(given, dict) else {name: PolicySpec() for name in given}
        if mapping is not all_agents_in_one_team:
            unknown = sorted(set(teams) - set(specs))
            if unknown:
                raise ValueError(
                    f"policy_mapping_fn maps agents to {unknown}, which `multi_agent(policies=...)` does not name; it "
                    f"names {sorted(specs)}."
                )
        self.multi_agent(
            policies={team: specs.get(team, PolicySpec()) for team in teams},
            policy_mapping_fn=TeamPolicyMapping(mapping),
        )
        self._complete_module_specs(set(teams))
        self.env: Any = ConfiguredTeamEnv
        self.env_config = {**env_config, TEAM_SETUP_KEY: TeamSetup(env=specifier, teams=teams, reward=self.team_reward)}

    def _check_overrides(self) -> None:
        for module, options in self.algorithm_config_overrides_per_module.items():
            if module not in self.teams:
                raise ValueError(
                    f"`multi_agent(algorithm_config_overrides_per_module=...)` has options for {module!r}, but the "
                    f"teams are {sorted(self.teams)}: every module has to be that of a team."
                )
            own = self.copy(copy_frozen=False)
            own.algorithm_config_overrides_per_module = {}
            try:
                own.update_from_dict(options).check_options()
            except ValueError as error:
                raise ValueError(f"algorithm_config_overrides_per_module, {module!r}: {error}") from error

    def _complete_module_specs(self, teams: set[str]) -> None:
        # RLlib's connectors know only the modules that a `MultiRLModuleSpec` names.
        spec: Any = self._rl_module_spec
        if not isinstance(spec, MultiRLModuleSpec) or spec.rl_module_specs is None:
            return
        unknown = sorted(set(spec.rl_module_specs) - teams)
        if unknown:
            raise ValueError(
                f"`rl_module(rl_module_spec=...)` has specs for {unknown}, but the teams are {sorted(teams)}: every "
                "module has to be that of a team."
            )
        missing = {team: RLModuleSpec() for team in teams - set(spec.rl_module_specs)}
        if missing:
            complete = copy.copy(spec)
            complete.rl_module_specs = {**spec.rl_module_specs, **missing}
            self._rl_module_spec: Any = complete


def _spaces_of(pipeline: ConnectorPipelineV2) -> dict[str, Any]:
    return {
        "input_observation_space": pipeline.input_observation_space,
        "input_action_space": pipeline.input_action_space,
    }
