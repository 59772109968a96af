"""Checks of action masks and communication masks."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np

from rllib_mamba.checking.episodes import Step
from rllib_mamba.checking.evidence import Evidence
from rllib_mamba.checking.findings import Concerns, Finding, Sightings, error, named, note, shown, warning
from rllib_mamba.teams import columns


def action_masks_have_the_right_shape(evidence: Evidence) -> Iterator[Finding]:
    """One entry for each action."""
    sightings = Sightings()
    for step, agent, mask in _action_masks(evidence):
        size = _actions(evidence, agent)
        if size is not None and np.shape(mask) != (size,):
            sightings.add(_at(step, agent), f"the action mask has the shape {np.shape(mask)}, the actions ({size},)")
    if sightings:
        yield error(
            str(sightings),
            "one entry for each action of the agent, in their order.",
            "give a mask of the shape (number of actions,).",
        )


def action_masks_are_zeros_and_ones(evidence: Evidence) -> Iterator[Finding]:
    """Logits and probabilities in place of masks."""
    sightings = Sightings()
    for step, agent, mask in _action_masks(evidence):
        if not _is_binary(mask):
            sightings.add(_at(step, agent), f"the action mask is {shown(np.asarray(mask))}")
    if sightings:
        yield error(
            str(sightings),
            "1 for a legal action and 0 for an illegal one; everything but 0 counts as legal, -inf too.",
            "give `np.array(legal, np.int8)`.",
        )


def somebody_may_act(evidence: Evidence) -> Iterator[Finding]:
    """Masks that forbid every action."""
    sightings = Sightings()
    for step, agent, mask in _action_masks(evidence):
        if agent in step.acting and not np.any(mask):
            sightings.add(_at(step, agent), "the action mask forbids every action")
    if sightings:
        yield error(
            str(sightings),
            "a legal action for every agent that has an observation and goes on.",
            'add an action "do nothing" that is legal where nothing else is, or give no observation to who cannot act.',
        )


def action_masks_come_with_every_observation(evidence: Evidence) -> Iterator[Finding]:
    """Masks that are forgotten at a reset, or now and then."""
    masked = {agent for _, agent, _ in _action_masks(evidence)}
    announced = any(columns.ACTION_MASK in spaces.mask_keys for spaces in evidence.spaces.values())
    at_reset, later = Sightings(), Sightings()
    for step in evidence.steps:
        given = {agent for agent in step.acting if step.mask(agent, columns.ACTION_MASK) is not None}
        without = [agent for agent in step.acting if agent in masked - given]
        if without:
            unknown = step.number == 0 and not given and not announced
            (at_reset if unknown else later).add(step.place, f"no action mask for {named(without)}")
    if at_reset:
        yield error(
            str(at_reset) + " There are masks at other steps.",
            "a mask with the observations of reset() as well.",
            "put the masks into what reset() returns.",
        )
    if later:
        yield warning(
            str(later) + " There are masks at other steps.",
            "a mask at every step; where there is none every action counts as legal.",
            "give a mask with every observation.",
        )


def action_masks_are_for_all_agents(evidence: Evidence) -> Iterator[Finding]:
    """Masks of some agents only."""
    masked = {agent for _, agent, _ in _action_masks(evidence)}
    acted = {agent for step in evidence.steps for agent in step.acting}
    without = [agent for agent in evidence.agents if agent in acted - masked]
    if masked and without:
        others = named(agent for agent in evidence.agents if agent in masked)
        yield warning(
            f"{named(without)} never had an action mask, {others} had.",
            "masks for all agents, or for none; every action of the others counts as legal.",
            "give the others a mask of ones, if that is meant.",
        )


def comm_masks_have_the_right_shape(evidence: Evidence) -> Iterator[Finding]:
    """One row and one column for each possible agent."""
    number = len(evidence.agents)
    sightings = Sightings()
    for step, place, mask, expected in _comm_masks(evidence):
        if np.shape(mask) != expected:
            sightings.add(f"{step.place}{place}", f"the comm_mask has the shape {np.shape(mask)}")
    if sightings:
        yield error(
            str(sightings),
            f"({number}, {number}) in `infos['__common__']`, or ({number},) for an agent, in the order of "
            "`possible_agents`, the dead included.",
            "fill the rows and columns of agents that are gone with zeros.",
            Concerns.TEAMS,
        )


def comm_masks_are_zeros_and_ones(evidence: Evidence) -> Iterator[Finding]:
    """Distances and weights in place of masks, and agents that do not hear themselves."""
    values, deaf = Sightings(), Sightings()
    for step, place, mask, expected in _comm_masks(evidence):
        if not _is_binary(mask):
            values.add(f"{step.place}{place}", f"the comm_mask holds {shown(np.unique(np.asarray(mask)))}")
        elif len(expected) > 1 and np.shape(mask) == expected and not np.diagonal(mask).all():
            agent = evidence.agents[int(np.argmin(np.diagonal(mask)))]
            deaf.add(step.place, f"agent {agent!r} does not hear itself in the comm_mask")
    if values:
        yield error(
            str(values),
            "1 at [i, j] where agent i may hear agent j, else 0; everything but 0 counts as 1.",
            "compare with a threshold.",
            Concerns.TEAMS,
        )
    if deaf:
        yield note(
            str(deaf),
            "ones on the diagonal; they are taken as ones whatever is given.",
            "`np.fill_diagonal(mask, 1)`.",
            Concerns.TEAMS,
        )


def comm_masks_come_at_every_step(evidence: Evidence) -> Iterator[Finding]:
    """Communication masks that are forgotten at a reset, or now and then."""
    given = {(step.episode, step.number) for step, *_ in _comm_masks(evidence)}
    if not given:
        return
    at_reset, later = Sightings(), Sightings()
    for step in evidence.steps:
        if (step.episode, step.number) not in given and not step.over:
            (at_reset if step.number == 0 else later).add(step.place, "no comm_mask")
    if at_reset:
        yield error(
            str(at_reset) + " There are some at other steps.",
            "one in what reset() returns as well.",
            "put it into the infos of reset().",
            Concerns.TEAMS,
        )
    if later:
        yield warning(
            str(later) + " There are some at other steps.",
            "one at every step; where there is none everybody hears everybody.",
            "give one with every observation.",
            Concerns.TEAMS,
        )


def _action_masks(evidence: Evidence) -> Iterator[tuple[Step, Hashable, Any]]:
    for step in evidence.steps:
        for agent in step.observations:
            mask = step.mask(agent, columns.ACTION_MASK)
            if mask is not None and agent not in step.gone:
                yield step, agent, mask


def _comm_masks(evidence: Evidence) -> Iterator[tuple[Step, str, Any, tuple[int, ...]]]:
    """Step, whose it is in words, mask, and the shape that it should have."""
    number = len(evidence.agents)
    for step in evidence.steps:
        common = step.info(columns.COMMON)
        if columns.COMM_MASK in common:
            yield step, "", common[columns.COMM_MASK], (number, number)
        for agent in evidence.agents:
            mask = step.mask(agent, columns.COMM_MASK)
            if mask is not None:
                yield step, f", agent {agent!r}", mask, (number,)


def _actions(evidence: Evidence, agent: Hashable) -> int | None:
    spaces = evidence.spaces.get(agent)
    return None if spaces is None else spaces.num_actions


def _is_binary(mask: Any) -> bool:
    array = np.asarray(mask)
    return array.dtype.kind in "biuf" and bool(np.isin(array, (0, 1)).all())


def _at(step: Step, agent: Hashable) -> str:
    return f"{step.place}, agent {agent!r}"
