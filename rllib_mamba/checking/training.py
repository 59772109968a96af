"""Checks by those who train: the episodes go through RLlib's own classes and through a team."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import numpy as np
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode
from ray.rllib.utils.pre_checks.env import check_multiagent_environments

from rllib_mamba.checking.episodes import Episode, MalformedResultError, Player, first_difference
from rllib_mamba.checking.evidence import Evidence
from rllib_mamba.checking.findings import Concerns, Finding, error, warning
from rllib_mamba.checking.places import raised_at
from rllib_mamba.teams import TeamEnv, columns
from rllib_mamba.teams.team_env import ALL

_TEAM = "team"
_PHASES = ("step_async", "step_wait")


def nothing_is_raised(episodes: list[Episode]) -> Iterator[Finding]:
    """Whether the environment plays at all."""
    for episode in episodes:
        failure = episode.failure
        if isinstance(failure, MalformedResultError):
            yield error(
                f"{episode.failed_call}: {failure}.",
                "what gymnasium's and RLlib's interface say: reset() -> observations, infos; step() -> observations, "
                "rewards, terminateds, truncateds, infos.",
                "return dictionaries by agent id, all five of them.",
            )
            return
        if failure is not None:
            raised = f"{type(failure).__name__}: {failure}{raised_at(failure)}"
            yield error(
                f"{episode.failed_call}: the environment raised {raised}.",
                "episodes of random legal actions without an exception; only agents that had an observation act.",
                _remedy(failure, episode),
            )
            return


def two_phases_make_a_step(env: Any, episode: Episode) -> Iterator[Finding]:
    """Whether `step_async` and `step_wait`, where there are such methods, do what `step` does.

    Args:
        env: the environment; any instance with the settings of that of the episode.
        episode: an episode that began with a seed.
    """
    given = [name for name in _PHASES if callable(getattr(env, name, None))]
    if len(given) == 1:
        yield warning(
            f"there is a method `{given[0]}`, but no `{next(name for name in _PHASES if name not in given)}`.",
            "both, or none: the first hands in the actions of a step, the second gives what came of it.",
            "define the other one.",
            Concerns.TEAMS,
        )
    if len(given) < len(_PHASES) or first_difference(env, episode.seed, episode, episode.length) is not None:
        return
    difference = first_difference(_InTwoPhases(env), episode.seed, episode, episode.length)
    if difference is not None:
        yield error(
            f"in an episode played again with `step_async` and `step_wait`, {difference}.",
            "`step_wait()` returns what `step` would after `step_async` with the same actions.",
            "define `step` as one after the other.",
            Concerns.TEAMS,
        )


class _InTwoPhases:
    """An environment whose steps are made in two phases."""

    def __init__(self, env: Any) -> None:
        self._env = env
        self.reset = env.reset

    def step(self, action_dict: Mapping[Hashable, Any]) -> Any:
        self._env.step_async(action_dict)
        return self._env.step_wait()


def illegal_actions_do_no_harm(evidence: Evidence, seed: int) -> Iterator[Finding]:
    """What happens under algorithms that do not know of masks."""
    masked = any(
        step.mask(agent, columns.ACTION_MASK) is not None for step in evidence.steps for agent in step.observations
    )
    if not masked:
        return
    player = Player(evidence.env, evidence.action_spaces, seed, use_masks=False)
    failure = player.play(0, seed, evidence.step_limit).failure
    if failure is not None:
        yield warning(
            f"the environment raised {type(failure).__name__}: {failure}{raised_at(failure)}, given an illegal action.",
            "MAMBA keeps to the masks; RLlib's own modules do not know them, and RLlib's check of environments tries "
            "any action.",
            "treat an illegal action as one that does nothing; or train with a module that masks its actions and "
            "`environment(disable_env_checking=True)`.",
            Concerns.RLLIB,
        )


def rllib_accepts_the_environment(evidence: Evidence) -> Iterator[Finding]:
    """RLlib's own check, which runs when an env runner is made."""
    try:
        check_multiagent_environments(evidence.env)
    except Exception as failure:
        cause = failure.__cause__ or failure
        yield error(
            f"RLlib's check of environments says: {' '.join(str(cause).split())}{raised_at(cause)}",
            "an environment that passes `check_multiagent_environments`.",
            "as it says; `self.agents` has to hold the agents of the episode.",
            Concerns.RLLIB,
        )


def rllib_keeps_the_episodes(evidence: Evidence) -> Iterator[Finding]:
    """Whether RLlib's episodes take what was played."""
    for episode in evidence.episodes:
        kept = MultiAgentEpisode(
            observation_space=dict(evidence.observation_spaces),
            action_space=dict(evidence.action_spaces),
            agent_to_module_mapping_fn=_one_module,
        )
        step = None
        try:
            for step in episode.steps:
                if step.number == 0:
                    kept.add_env_reset(observations=step.observations, infos=step.infos)
                else:
                    kept.add_env_step(
                        step.observations,
                        step.actions,
                        step.rewards,
                        step.infos,
                        terminateds=step.terminateds,
                        truncateds=step.truncateds,
                    )
        except Exception as failure:
            yield error(
                f"{step.place if step else 'an episode'}: RLlib's episode refuses what came back: "
                f"{type(failure).__name__}: {failure}",
                "what RLlib's MultiAgentEpisode takes.",
                "as it says.",
                Concerns.RLLIB,
            )
            return


def a_team_plays(evidence: Evidence, seed: int) -> Iterator[Finding]:
    """Whether an episode goes through the class that MAMBA trains on."""
    random = np.random.default_rng(seed)
    try:
        env = TeamEnv(evidence.env, {_TEAM: evidence.agents})
        sizes = env.action_spaces[_TEAM].nvec
        observations, _ = env.reset(seed=seed)
        for _ in range(evidence.step_limit):
            actions = _legal_actions(observations[_TEAM], sizes, random)
            observations, _, terminateds, truncateds, _ = env.step({_TEAM: actions})
            if terminateds[ALL] or truncateds[ALL]:
                return
    except Exception as failure:
        yield error(
            f"as a team, the agents meet {type(failure).__name__}: {failure}{raised_at(failure)}",
            "observations, masks and ends that MAMBA can train on.",
            "as it says.",
            Concerns.TEAMS,
        )


def _legal_actions(observation: Mapping[str, np.ndarray], sizes: np.ndarray, random: np.random.Generator) -> np.ndarray:
    mask = observation.get(columns.ACTION_MASK, np.ones((len(sizes), sizes[0])))
    return np.array([random.choice(np.flatnonzero(row)) for row in mask])


def _one_module(agent_id: Hashable, episode: Any = None, **kwargs: Any) -> str:
    return _TEAM


def _remedy(failure: Exception, episode: Episode) -> str:
    if isinstance(failure, KeyError) and episode.steps and failure.args[0] not in episode.steps[-1].acting:
        return (
            f"the environment seems to wait for an action of {failure.args[0]!r}, which had no observation or has "
            "ended: look at the actions of those that act only, `action_dict.items()`."
        )
    return "mend it there."
