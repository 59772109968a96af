"""An environment whose RLlib agents are teams."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, get_args

import numpy as np
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from rllib_mamba.teams import columns
from rllib_mamba.teams.errors import EnvironmentDataError
from rllib_mamba.teams.spaces import MASK_KEYS, AgentID, agent_spaces, possible_agents
from rllib_mamba.teams.team import OptionalColumns, Team
from rllib_mamba.teams.vector import in_two_phases

ALL = "__all__"
"""RLlib's key for the end of the whole episode."""

TeamReward = Literal["mean", "sum"]


class TeamEnv(MultiAgentEnv):
    """Makes each team of agents of a `MultiAgentEnv` one RLlib agent with observations and actions of fixed shape.

    Every team that is not over has an observation at every step, whether or not one of its members has: members that
    died, wait for their turn or have not appeared yet are rows with `alive` 0 (see `columns`). A team is over when
    every member has ended, at the latest with the episode; an episode is over when every team is. `terminateds` and
    `truncateds` name the teams that end while others go on; when a time limit ends the episode only
    `truncateds["__all__"]` is set, because RLlib would take a truncated flag of every agent for a termination.

    The environment is reset once when it is wrapped, to learn which masks and whether a global state it gives, unless
    it has a method `example_reset()` that tells: it gives what a reset might give, without beginning an episode.

    An exception of the environment with the attribute `ends_the_run` set is raised as an EnvironmentDataError: RLlib is
    not to start the process again and try once more, as it does after others.

    Args:
        env: the environment.
        teams: team id -> ids of its members in their fixed order; every possible agent in exactly one team.
        reward: a team's reward, the "mean" over all of its members (default) or the "sum".

    Raises:
        TypeError: not a MultiAgentEnv.
        ValueError: unsupported spaces, teams that do not fit the agents.
        EnvironmentDataError: later, from `reset` and `step`: bad input from the environment.
    """

    def __init__(self, env: MultiAgentEnv, teams: Mapping[str, Sequence[AgentID]], reward: TeamReward = "mean") -> None:
        super().__init__()
        agents = possible_agents(env)
        _check_teams(agents, teams, reward)
        self.env = env
        self._two_phases = in_two_phases(env)
        self.metadata = dict(env.metadata)
        self.render_mode = env.render_mode
        self.teams = {name: tuple(members) for name, members in teams.items()}
        self.possible_agents = list(self.teams)
        self.agents = list(self.teams)
        self._mean = reward == "mean"
        self._teams = self._make_teams(agents)
        self._places = {agent: (team, row) for team in self._teams for row, agent in enumerate(team.agents)}
        self.observation_spaces = {team.name: team.observation_space for team in self._teams}
        self.action_spaces = {team.name: team.action_space for team in self._teams}
        self._begin_episode()

    def _make_teams(self, agents: tuple[AgentID, ...]) -> list[Team]:
        observations, infos = _example_reset(self.env)
        state = self._read_state(infos)
        self._state_size = None if state is None else state.size
        spaces = {agent: agent_spaces(self.env, agent) for agent in agents}
        masked = {key: {agent for agent in agents if key in _info(infos, agent)} for key in MASK_KEYS}
        for agent, agent_space in spaces.items():
            for key in agent_space.mask_keys:
                masked[key].add(agent)
        comm_mask = bool(masked[columns.COMM_MASK]) or columns.COMM_MASK in _info(infos, columns.COMMON)
        teams = []
        for name, members in self.teams.items():
            sizes_differ = len({spaces[agent].num_actions for agent in members}) > 1
            # A team of which nobody is there yet is taken to be like the others.
            witnesses = agents if observations.keys().isdisjoint(members) else members
            action_mask = sizes_differ or not masked[columns.ACTION_MASK].isdisjoint(witnesses)
            optional = OptionalColumns(action_mask, comm_mask, self._state_size)
            positions = [agents.index(agent) for agent in members]
            teams.append(Team(name, members, [spaces[agent] for agent in members], positions, len(agents), optional))
        return teams

    # ------------------------------------------------------------------ the episode so far

    @property
    def agent_returns(self) -> dict[AgentID, float]:
        """The sum of each agent's rewards in the current or last episode."""
        return dict(self._returns)

    @property
    def episode_metrics(self) -> dict[str, float]:
        """What the environment gave as `episode_metrics` in the current or last episode."""
        return dict(self._episode_metrics)

    def _begin_episode(self) -> None:
        self._step = 0
        self._returns: dict[AgentID, float] = dict.fromkeys(self._places, 0.0)
        self._episode_metrics: dict[str, float] = {}
        for team in self._teams:
            team.reset()

    # ------------------------------------------------------------------ RLlib's interface

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begins an episode; `seed` and `options` go to the environment."""
        with _failures_for_good():
            observations, infos = self.env.reset(seed=seed, options=options)
        self._begin_episode()
        return self._observe(self._teams, observations, infos, {}, {})

    def step(
        self, action_dict: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], dict[str, Any]]:
        """One step with the teams' actions (N,) each; those of members that are not alive are ignored.

        An action that a member does not have (possible where its mask is ignored, as RLlib's random actions do) counts
        modulo its number of actions.
        """
        self.step_async(action_dict)
        return self.step_wait()

    def step_async(self, action_dict: dict[str, Any]) -> None:
        """Hands in the teams' actions of a step, to the environment as well if it steps in two phases."""
        self._actions = self._agent_actions(action_dict)
        if self._two_phases:
            with _failures_for_good():
                self.env.step_async(self._actions)

    def step_wait(
        self,
    ) -> tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], dict[str, Any]]:
        """What came of the step whose actions were handed in."""
        with _failures_for_good():
            results = self.env.step_wait() if self._two_phases else self.env.step(self._actions)
        observations, rewards, terminateds, truncateds, infos = results
        self._step += 1
        teams = [team for team in self._teams if not team.over]
        for team in self._teams:
            team.begin_step(self._step)
        self._end(terminateds, truncateds)
        self._reward(rewards)
        team_observations, team_infos = self._observe(teams, observations, infos, terminateds, truncateds)
        team_rewards = {team.name: team.total_reward / team.size if self._mean else team.total_reward for team in teams}
        return team_observations, team_rewards, *self._team_ends(teams), team_infos

    def render(self) -> Any:
        """Whatever the environment renders."""
        return self.env.render()

    def close(self) -> None:
        """Closes the environment."""
        self.env.close()

    # ------------------------------------------------------------------ the parts of a step

    def _agent_actions(self, action_dict: dict[str, Any]) -> dict[AgentID, int]:
        actions = {}
        for team in self._teams:
            if team.over:
                continue
            team_actions = np.asarray(action_dict[team.name]).tolist()
            for row in team.acting:
                spaces = team.spaces[row]
                actions[team.agents[row]] = team_actions[row] % spaces.num_actions + spaces.first_action
        return actions

    def _end(self, terminateds: Mapping[Any, bool], truncateds: Mapping[Any, bool]) -> None:
        for flags, terminated in ((terminateds, True), (truncateds, False)):
            for agent, flag in flags.items():
                if flag and agent != ALL:
                    team, row = self._place(agent, "an end")
                    team.end(row, terminated)
        for team in self._teams:
            if terminateds.get(ALL):
                team.end_all(terminated=True)
            elif truncateds.get(ALL):
                team.end_all(terminated=False)
            team.settle()

    def _reward(self, rewards: Mapping[AgentID, Any]) -> None:
        for agent, reward in rewards.items():
            team, row = self._place(agent, "the reward", reward)
            self._returns[agent] += team.reward(row, reward)

    def _observe(
        self,
        teams: list[Team],
        observations: Mapping[AgentID, Any],
        infos: Mapping[Any, Any],
        terminateds: Mapping[Any, bool],
        truncateds: Mapping[Any, bool],
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        common = _info(infos, columns.COMMON)
        if columns.COMM_MASK in common:
            for team in teams:
                team.hear(common[columns.COMM_MASK])
        for agent, observation in observations.items():
            team, row = self._place(agent, "an observation")
            # Some environments go on reporting those that are done.
            if not (team.gone(row) and (terminateds.get(agent) or truncateds.get(agent))):
                team.see(row, observation)
        for agent, info in infos.items():
            if agent in self._places:
                team, row = self._places[agent]
                team.infos[agent] = info
                if info:
                    team.read_masks(row, info)
        state = self._checked_state(infos)
        team_infos: dict[str, dict[str, Any]] = {team.name: {columns.AGENT_INFOS: team.infos} for team in teams}
        if columns.EPISODE_METRICS in common:
            self._episode_metrics = {name: float(value) for name, value in common[columns.EPISODE_METRICS].items()}
            for info in team_infos.values():
                info[columns.EPISODE_METRICS] = self.episode_metrics
        return {team.name: team.observation(state) for team in teams}, team_infos

    def _team_ends(self, teams: list[Team]) -> tuple[dict[str, bool], dict[str, bool]]:
        episode_over = all(team.over for team in self._teams)
        terminateds = {team.name: team.terminated for team in teams}
        truncateds = {team.name: team.over and not team.terminated for team in teams}
        cut = episode_over and any(truncateds.values())
        if cut:
            # RLlib marks an episode as terminated as soon as every one of its agents has a flag of its own.
            truncateds = dict.fromkeys(truncateds, False)
        return {**terminateds, ALL: episode_over and not cut}, {**truncateds, ALL: cut}

    def _read_state(self, infos: Mapping[Any, Any]) -> np.ndarray | None:
        state = _info(infos, columns.COMMON).get(columns.STATE)
        if state is None and callable(getattr(self.env, "state", None)):
            try:
                state = self.env.state()
            except NotImplementedError:
                # PettingZoo's base class has the method whether or not the game has a state.
                return None
        return None if state is None else np.array(state, np.float32).reshape(-1)

    def _checked_state(self, infos: Mapping[Any, Any]) -> np.ndarray | None:
        state = self._read_state(infos)
        size = None if state is None else state.size
        if size != self._state_size:
            raise EnvironmentDataError(
                f"Step {self._step}: the global state has {size} numbers, at the first reset it had "
                f"{self._state_size}; give one of the same size at every reset and step, or none."
            )
        if state is not None and not np.isfinite(state).all():
            raise EnvironmentDataError(f"Step {self._step}: the global state {state} holds a NaN or infinite number.")
        return state

    def _place(self, agent: AgentID, what: str, value: Any = None) -> tuple[Team, int]:
        try:
            return self._places[agent]
        except KeyError:
            given = what if value is None else f"{what} {value!r}"
            raise EnvironmentDataError(
                f"Step {self._step}: {type(self.env).__name__} gave {given} for the unknown agent {agent!r}; "
                f"its possible agents are {list(self._places)}."
            ) from None


@contextmanager
def _failures_for_good() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if getattr(error, "ends_the_run", False):
            raise EnvironmentDataError(str(error)) from error
        raise


def _example_reset(env: MultiAgentEnv) -> tuple[Mapping[AgentID, Any], Mapping[Any, Any]]:
    # For some environments a reset is expensive: it starts a game.
    example_reset = getattr(env, "example_reset", env.reset)
    return example_reset()


def _info(infos: Mapping[Any, Any], key: Any) -> Mapping[str, Any]:
    return infos.get(key) or {}


def _check_teams(agents: tuple[AgentID, ...], teams: Mapping[str, Sequence[AgentID]], reward: str) -> None:
    if reward not in get_args(TeamReward):
        raise ValueError(f"The team reward must be one of {get_args(TeamReward)}, not {reward!r}.")
    members = [agent for team in teams.values() for agent in team]
    empty = [name for name, team in teams.items() if not team]
    unknown = [agent for agent in members if agent not in agents]
    missing = [agent for agent in agents if agent not in members]
    twice = sorted({str(agent) for agent in members if members.count(agent) > 1})
    problems = {"teams without members": empty, "unknown agents": unknown, "agents in no team": missing}
    problems["agents in more than one place"] = twice
    found = "; ".join(f"{problem}: {names}" for problem, names in problems.items() if names)
    if found:
        raise ValueError(f"The teams do not fit the environment's agents {list(agents)}: {found}.")
