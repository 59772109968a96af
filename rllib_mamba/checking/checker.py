"""Runs all checks on an environment."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ray.rllib.env.env_context import EnvContext

from rllib_mamba.checking import common, construction, ends, facts, masks, observations, rewards, seeds, training
from rllib_mamba.checking.episodes import Episode, Player
from rllib_mamba.checking.evidence import Evidence
from rllib_mamba.checking.findings import Concerns, Finding, Severity
from rllib_mamba.registry import EnvSpecifier, make_environment

DEFAULT_EPISODES = 3
DEFAULT_STEP_LIMIT = 1000

STANDING_CHECKS: tuple[Callable[[Evidence], Iterable[Finding]], ...] = (
    construction.base_class_is_initialised,
    construction.reset_takes_a_seed,
    construction.spaces_are_supported,
    construction.spaces_are_given_by_agent,
    construction.spaces_are_equal,
    construction.observations_are_plain,
)
"""The checks of an environment as it stands."""

EPISODE_CHECKS: tuple[Callable[[Evidence], Iterable[Finding]], ...] = (
    observations.observations_fit_their_space,
    observations.observations_are_finite,
    observations.observations_are_in_bounds,
    observations.observations_have_their_dtype,
    observations.observations_stay_as_they_were,
    observations.features_are_of_one_scale,
    masks.action_masks_have_the_right_shape,
    masks.action_masks_are_zeros_and_ones,
    masks.somebody_may_act,
    masks.action_masks_come_with_every_observation,
    masks.action_masks_are_for_all_agents,
    masks.comm_masks_have_the_right_shape,
    masks.comm_masks_are_zeros_and_ones,
    masks.comm_masks_come_at_every_step,
    ends.flags_have_all,
    ends.flags_are_true_or_false,
    ends.agents_are_known,
    ends.ended_agents_stay_away,
    ends.cut_agents_have_a_last_observation,
    ends.episode_is_over_with_its_agents,
    ends.episodes_end,
    ends.somebody_begins,
    ends.every_agent_appears,
    ends.time_limits_are_no_terminations,
    rewards.rewards_are_finite_numbers,
    rewards.rewards_are_scalars,
    rewards.who_acts_is_rewarded,
    rewards.rewards_are_not_large,
    rewards.there_are_rewards,
    common.infos_are_dictionaries,
    common.state_keeps_its_size,
    common.state_is_finite,
    common.metrics_are_numbers,
    common.metrics_come_at_the_end,
    facts.speed_is_bearable,
)
"""The checks of what was seen in episodes of random play."""


@dataclass
class Report:
    """What is known of an environment after the checks."""

    environment: str = ""
    """The name of its class; empty where it cannot be made."""
    facts: dict[str, str] = field(default_factory=dict)
    """Name -> what there is to say, for people; empty where nothing could be played."""
    findings: list[Finding] = field(default_factory=list)

    def add(self, check: Callable[..., Any], findings: Iterable[Finding]) -> bool:
        """Adds what a check found and says whether that was nothing."""
        found = [dataclasses.replace(finding, check=check.__name__) for finding in findings]
        self.findings += found
        return not found

    def run(self, check: Callable[..., Iterable[Finding]], *arguments: Any) -> bool:
        """Runs a check, adds what it found and says whether that was nothing."""
        return self.add(check, check(*arguments))

    def of(self, severity: Severity) -> list[Finding]:
        """The findings of a severity."""
        return [finding for finding in self.findings if finding.severity is severity]

    def trains(self, concerns: Concerns) -> bool:
        """Whether these algorithms would train."""
        return not any(finding.concerns in (Concerns.ALL, concerns) for finding in self.of(Severity.ERROR))


def check_environment(
    specifier: EnvSpecifier,
    env_config: Mapping[str, Any] | None = None,
    *,
    episodes: int = DEFAULT_EPISODES,
    step_limit: int = DEFAULT_STEP_LIMIT,
    seed: int = 0,
) -> Report:
    """Plays an environment with random legal actions and reports what would go wrong in training.

    Nothing that the environment does wrong is raised. Four instances are made, two of them at a time.

    Args:
        specifier: as for `make_environment`.
        env_config: the environment's settings.
        episodes: episodes to play, at least 1, besides those that look at seeds.
        step_limit: steps after which an episode is left.
        seed: of the first episode and of the actions.
    """
    settings = dict(env_config or {})

    def make(worker_index: int = 1, vector_index: int = 0) -> Any:
        return make_environment(specifier, EnvContext(settings, worker_index=worker_index, vector_index=vector_index))

    report = Report()
    with _made(report, make) as env:
        if env is None:
            return report
        report.environment = type(env).__name__
        if report.run(construction.environment_is_multi_agent, env):
            report.run(construction.can_be_sent, specifier, settings)
            _Examination(report, Evidence.of(env, step_limit), make, seed).run(episodes)
    return report


class _Examination:
    """The checks of one environment in order, each as far as it makes sense after those before."""

    def __init__(self, report: Report, evidence: Evidence, make: Callable[..., Any], seed: int) -> None:
        self._report = report
        self._evidence = evidence
        self._make = make
        self._seed = seed

    def run(self, episodes: int) -> None:
        evidence, report = self._evidence, self._report
        for check in STANDING_CHECKS:
            report.run(check, evidence)
        if evidence.without_spaces:
            return
        # An environment with a seed of its own begins its stream of episodes now.
        beginnings = seeds.first_episodes(evidence.env, evidence.action_spaces, self._seed)
        player = Player(evidence.env, evidence.action_spaces, self._seed)
        for number in range(episodes):
            evidence.episodes.append(player.play(number, self._seed + number, evidence.step_limit))
        plays = report.run(training.nothing_is_raised, [*evidence.episodes, *beginnings])
        for check in EPISODE_CHECKS:
            report.run(check, evidence)
        if plays:
            self._look_at_seeds(beginnings)
            self._ask_those_who_train()
            self._gather_facts()

    def _look_at_seeds(self, beginnings: list[Episode]) -> None:
        evidence, report = self._evidence, self._report
        env, episode = evidence.env, evidence.episodes[0]
        with _made(report, self._make) as second:
            if second is None:
                return
            repeats = report.run(seeds.seeds_repeat_episodes, env, second, episode)
            report.run(training.two_phases_make_a_step, second, episode)
            if not repeats:
                return
        if not seeds.seeds_show_early(env, episode):
            return
        if not report.run(seeds.episodes_differ_without_a_seed, env, evidence.action_spaces, self._seed):
            return
        for index, place in (("worker_index", (2, 0)), ("vector_index", (1, 1))):
            with _made(report, partial(self._make, *place)) as other:
                if other is not None:
                    report.run(seeds.environments_differ, beginnings, other, index)

    def _ask_those_who_train(self) -> None:
        # What these find has mostly been found by a check that explains it better.
        evidence, report = self._evidence, self._report
        takes_any_action = report.run(training.illegal_actions_do_no_harm, evidence, self._seed)
        if report.trains(Concerns.RLLIB) and takes_any_action:
            report.run(training.rllib_accepts_the_environment, evidence)
        if report.trains(Concerns.RLLIB):
            report.run(training.rllib_keeps_the_episodes, evidence)
        if report.trains(Concerns.TEAMS):
            report.run(training.a_team_plays, evidence, self._seed)

    def _gather_facts(self) -> None:
        evidence, report = self._evidence, self._report
        report.facts = facts.facts_of(evidence)
        evidence.env.reset(seed=self._seed)
        report.facts["drawing"], findings = facts.rendering_gives_images(evidence.env)
        report.add(facts.rendering_gives_images, findings)


@contextlib.contextmanager
def _made(report: Report, make: Callable[[], Any]) -> Iterator[Any]:
    """An environment that is closed afterwards; None, with a finding, where it cannot be made."""
    env, findings = construction.constructor_works(make)
    report.add(construction.constructor_works, findings)
    try:
        yield env
    finally:
        if env is not None:
            env.close()
