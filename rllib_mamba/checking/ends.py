"""Checks of who ends when, and of what comes after an end."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

import numpy as np

from rllib_mamba.checking.episodes import Step
from rllib_mamba.checking.evidence import Evidence
from rllib_mamba.checking.findings import Concerns, Finding, Sightings, error, named, note, warning
from rllib_mamba.teams import columns
from rllib_mamba.teams.team_env import ALL


def flags_have_all(evidence: Evidence) -> Iterator[Finding]:
    """`__all__` in the dictionaries of ends."""
    for name, finding in (("terminateds", error), ("truncateds", note)):
        without = Sightings()
        for step in _after_reset(evidence):
            if ALL not in getattr(step, name):
                without.add(step.place, f"{name} has no '{ALL}'")
        if without:
            yield finding(
                str(without),
                f"`{name}['{ALL}']`, true when the episode is over; "
                + ("RLlib raises a KeyError without it." if finding is error else "it counts as False where it lacks."),
                f"return `{{..., '{ALL}': ...}}` at every step.",
                Concerns.RLLIB,
            )


def flags_are_true_or_false(evidence: Evidence) -> Iterator[Finding]:
    """Numbers, None and arrays in place of flags."""
    sightings = Sightings()
    for step in _after_reset(evidence):
        for name in ("terminateds", "truncateds"):
            for agent, flag in getattr(step, name).items():
                if not isinstance(flag, bool | np.bool_):
                    sightings.add(step.place, f"{name}[{agent!r}] is {flag!r}")
    if sightings:
        yield error(str(sightings), "True or False.", "`bool(...)`.", Concerns.RLLIB)


def agents_are_known(evidence: Evidence) -> Iterator[Finding]:
    """Ids that are not among the possible agents."""
    strict, infos = Sightings(), Sightings()
    for step in evidence.steps:
        for name in ("observations", "rewards", "terminateds", "truncateds", "infos"):
            special = {"infos": {ALL, columns.COMMON}, "terminateds": {ALL}, "truncateds": {ALL}}.get(name, set())
            unknown = [agent for agent in getattr(step, name) if agent not in evidence.agents and agent not in special]
            if unknown:
                (infos if name == "infos" else strict).add(step.place, f"{name} of {named(unknown)}")
    expected = f"ids of `possible_agents`, which are {named(evidence.agents)}."
    if strict:
        yield error(str(strict), expected, "name every agent that can ever appear in `self.possible_agents`.")
    if infos:
        remedy = f"put what concerns no single agent into `infos['{columns.COMMON}']`."
        yield error(str(infos), expected, remedy, Concerns.RLLIB)


def ended_agents_stay_away(evidence: Evidence) -> Iterator[Finding]:
    """Agents that come back after their end."""
    returned, reported = Sightings(), Sightings()
    for step in evidence.steps:
        for agent in evidence.agents:
            if agent not in step.gone:
                continue
            flagged = bool(step.terminateds.get(agent) or step.truncateds.get(agent))
            if agent in step.observations and not flagged:
                returned.add(step.place, f"an observation of agent {agent!r}, which had ended in an earlier step")
            elif what := _refused_by_rllib(step, agent):
                reported.add(step.place, f"{what} of agent {agent!r}, which had ended in an earlier step")
    if returned:
        yield error(
            str(returned),
            "an agent whose terminated or truncated flag was set has no more observations in that episode.",
            "set the flag when the agent is gone for good; one that only waits has no observation and no flag.",
        )
    if reported:
        yield error(
            str(reported),
            "nothing of an agent that has ended: RLlib's episodes refuse it, a reward of 0 or an empty info too.",
            "leave ended agents out of what step() returns.",
            Concerns.RLLIB,
        )


def cut_agents_have_a_last_observation(evidence: Evidence) -> Iterator[Finding]:
    """Agents whose time is up while their last action has no outcome."""
    sightings = Sightings()
    for episode in evidence.episodes:
        pending: set[Hashable] = set()
        for step in episode.steps:
            pending = (pending | step.actions.keys()) - step.observations.keys()
            everybody = bool(step.truncateds.get(ALL))
            for agent in evidence.agents:
                if agent in pending - step.gone and (everybody or step.truncateds.get(agent)):
                    sightings.add(step.place, f"agent {agent!r} acted and was truncated without an observation")
            pending -= step.ended
    if sightings:
        yield error(
            str(sightings),
            "a last observation for who is truncated: its value stands for the rest of the episode.",
            "return the observations of all agents with a truncation, of those that wait for their turn too.",
            Concerns.RLLIB,
        )


def episode_is_over_with_its_agents(evidence: Evidence) -> Iterator[Finding]:
    """Episodes whose every agent has ended although `__all__` says otherwise."""
    sightings = Sightings()
    for episode in evidence.episodes:
        if episode.steps and episode.all_ended and not episode.over:
            sightings.add(episode.steps[-1].place, f"all agents have ended, but '{ALL}' is set neither way")
    if sightings:
        yield error(
            str(sightings),
            f"`terminateds['{ALL}']` or `truncateds['{ALL}']` with the end of the last agent.",
            f"`terminateds['{ALL}'] = all(...)` over all agents; where some were truncated set `truncateds['{ALL}']`.",
            Concerns.RLLIB,
        )


def episodes_end(evidence: Evidence) -> Iterator[Finding]:
    """Episodes without an end."""
    endless = [
        episode
        for episode in evidence.episodes
        if not (episode.over or episode.failure) and episode.length >= evidence.step_limit and not episode.all_ended
    ]
    if endless:
        yield warning(
            f"{len(endless)} of {len(evidence.episodes)} episodes did not end within {evidence.step_limit} steps.",
            "episodes that end: returns and metrics are counted at their end.",
            f"set `truncateds['{ALL}']` after a number of steps; if longer episodes are meant, look further with "
            "`--steps`.",
        )


def somebody_begins(evidence: Evidence) -> Iterator[Finding]:
    """Resets without an observation."""
    empty = Sightings()
    for step in evidence.steps:
        if step.number == 0 and not step.observations:
            empty.add(step.place, "no agent has an observation")
    if empty:
        yield error(
            str(empty),
            "at least one agent that acts first; RLlib takes an episode without agents for finished.",
            "go on in reset() until somebody has something to decide.",
            Concerns.RLLIB,
        )


def every_agent_appears(evidence: Evidence) -> Iterator[Finding]:
    """Agents that exist in name only."""
    seen = {agent for step in evidence.steps for agent in step.observations}
    absent = [agent for agent in evidence.agents if agent not in seen]
    if absent:
        yield warning(
            f"{named(absent)} never had an observation.",
            "every agent of `possible_agents` appears at some time; it acts only on observations.",
            "give it one, take its id out, or play more episodes (`--episodes`) if it appears rarely.",
        )


def time_limits_are_no_terminations(evidence: Evidence) -> Iterator[Finding]:
    """Episodes that always terminate after the same number of steps."""
    lengths = {episode.length for episode in evidence.episodes}
    last = [episode.steps[-1] for episode in evidence.episodes if episode.steps]
    own_ends = any(step.ended for step in evidence.steps if not step.over)
    if len(last) > 1 and len(lengths) == 1 and all(step.terminateds.get(ALL) for step in last) and not own_ends:
        yield note(
            f"all {len(last)} episodes terminated after exactly {lengths.pop()} steps.",
            "a time limit is a truncation: after a termination nothing more is to be gained, and values learn so.",
            f"set `truncateds['{ALL}']` in place of `terminateds['{ALL}']`, unless the game is really over.",
        )


def _after_reset(evidence: Evidence) -> Iterator[Step]:
    return (step for step in evidence.steps if step.number > 0)


def _refused_by_rllib(step: Step, agent: Hashable) -> str:
    """What RLlib's `MultiAgentEpisode` would not take of an agent that has ended; empty where it takes all."""
    parts = {"an observation": step.observations, "a reward": step.rewards, "an info": step.infos}
    given = [what for what, part in parts.items() if part.get(agent) is not None]
    # It looks at the infos only of agents that appear elsewhere in a step, or of all when the episode is over.
    elsewhere = (step.observations, step.rewards, step.terminateds, step.truncateds)
    looked_at = step.over or any(agent in part for part in elsewhere)
    return " and ".join(given) if looked_at else ""
