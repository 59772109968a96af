"""Every check finds its fault, and nothing else does."""

import random
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from checked_envs import AGENTS, BOB_DIES, Faultless, Parts, spoiled, unlike
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from rllib_mamba.checking import Concerns, Report, Severity, check_environment, facts

ERROR, WARNING, NOTE = Severity
BOX = gym.spaces.Box(-1.0, 1.0, (3,), np.float32)


def check(specifier: Any, **settings: Any) -> Report:
    return check_environment(specifier, **{"episodes": 2, "step_limit": 40, **settings})


def found(specifier: Any, **settings: Any) -> list[tuple[str, Severity, Concerns]]:
    """The different findings."""
    findings = check(specifier, **settings).findings
    return sorted({(finding.check, finding.severity, finding.concerns) for finding in findings})


def test_nothing_is_found_where_nothing_is_wrong():
    report = check(Faultless, episodes=4)
    assert report.findings == []
    assert report.trains(Concerns.TEAMS)
    assert report.trains(Concerns.RLLIB)
    assert report.environment == "Faultless"
    assert report.facts["agents"] == "3: 'ann', 'bob', 'cid'"
    assert report.facts["gives"] == (
        "action masks, communication masks, a global state of 3 numbers, the metrics won"
    )
    assert report.facts["drawing"] == "images of 6 x 4"


# ---------------------------------------------------------------------- what is given at resets and steps

#: Check -> severity, whom it concerns, and how to bring it about.
SPOILED: dict[str, list[tuple[Severity, Concerns, Callable[[Any, Parts], Any]]]] = {}


def spoils(check_name: str, severity: Severity, concerns: Concerns = Concerns.ALL) -> Callable[..., Any]:
    def keep(change: Callable[[Any, Parts], Any]) -> Callable[[Any, Parts], Any]:
        SPOILED.setdefault(check_name, []).append((severity, concerns, change))
        return change

    return keep


@spoils("observations_fit_their_space", ERROR)
def wrong_shape(env: Any, parts: Parts) -> None:
    if env.t == 2:
        parts["observations"]["ann"] = np.zeros(4, np.float32)


@spoils("observations_are_finite", ERROR)
def not_a_number(env: Any, parts: Parts) -> None:
    if env.t == 2:
        parts["observations"]["ann"][1] = np.nan


@spoils("observations_are_in_bounds", WARNING)
def out_of_bounds(env: Any, parts: Parts) -> None:
    parts["observations"]["ann"][2] -= 2


@spoils("observations_have_their_dtype", WARNING)
def float64(env: Any, parts: Parts) -> None:
    parts["observations"]["ann"] = parts["observations"]["ann"].astype(np.float64)


@spoils("observations_have_their_dtype", WARNING)
def a_list(env: Any, parts: Parts) -> None:
    parts["observations"]["ann"] = parts["observations"]["ann"].tolist()


@spoils("observations_stay_as_they_were", WARNING)
def one_buffer(env: Any, parts: Parts) -> None:
    env.buffer = vars(env).get("buffer", np.zeros(3, np.float32))
    env.buffer[:] = parts["observations"]["ann"]
    parts["observations"]["ann"] = env.buffer


@spoils("action_masks_have_the_right_shape", ERROR)
def long_mask(env: Any, parts: Parts) -> None:
    parts["infos"]["ann"]["action_mask"] = np.ones(4, np.int8)


@spoils("action_masks_are_zeros_and_ones", ERROR)
def logits_for_mask(env: Any, parts: Parts) -> None:
    mask = parts["infos"]["ann"]["action_mask"]
    parts["infos"]["ann"]["action_mask"] = np.where(mask, 0.0, -np.inf)


@spoils("somebody_may_act", ERROR)
def nothing_is_legal(env: Any, parts: Parts) -> None:
    if env.t == 2:
        parts["infos"]["ann"]["action_mask"][:] = 0


@spoils("action_masks_come_with_every_observation", ERROR)
def no_masks_at_resets(env: Any, parts: Parts) -> None:
    if env.t == 0:
        for agent in AGENTS:
            del parts["infos"][agent]


@spoils("action_masks_come_with_every_observation", WARNING)
def no_mask_now_and_then(env: Any, parts: Parts) -> None:
    if env.t == 2:
        del parts["infos"]["cid"]


@spoils("action_masks_are_for_all_agents", WARNING)
def one_agent_without_masks(env: Any, parts: Parts) -> None:
    parts["infos"].pop("ann", None)


@spoils("comm_masks_have_the_right_shape", ERROR, Concerns.TEAMS)
def comm_mask_of_the_living(env: Any, parts: Parts) -> None:
    alive = len(AGENTS) - len(env.gone)
    parts["infos"]["__common__"]["comm_mask"] = np.ones((alive, alive))


@spoils("comm_masks_are_zeros_and_ones", ERROR, Concerns.TEAMS)
def distances_for_comm_mask(env: Any, parts: Parts) -> None:
    parts["infos"]["__common__"]["comm_mask"] = np.full((3, 3), 2.5)


@spoils("comm_masks_are_zeros_and_ones", NOTE, Concerns.TEAMS)
def deaf_to_oneself(env: Any, parts: Parts) -> None:
    parts["infos"]["__common__"]["comm_mask"] = 1 - np.eye(3)


@spoils("comm_masks_come_at_every_step", ERROR, Concerns.TEAMS)
def no_comm_mask_at_resets(env: Any, parts: Parts) -> None:
    if env.t == 0:
        del parts["infos"]["__common__"]["comm_mask"]


@spoils("comm_masks_come_at_every_step", WARNING, Concerns.TEAMS)
def no_comm_mask_now_and_then(env: Any, parts: Parts) -> None:
    if env.t == 2:
        del parts["infos"]["__common__"]["comm_mask"]


@spoils("flags_have_all", ERROR, Concerns.RLLIB)
def no_all(env: Any, parts: Parts) -> None:
    if env.t and not parts["terminateds"]["__all__"]:
        del parts["terminateds"]["__all__"]


@spoils("flags_have_all", NOTE, Concerns.RLLIB)
def no_all_among_truncateds(env: Any, parts: Parts) -> None:
    if env.t and not parts["truncateds"]["__all__"]:
        del parts["truncateds"]["__all__"]


@spoils("flags_are_true_or_false", ERROR, Concerns.RLLIB)
def numbers_for_flags(env: Any, parts: Parts) -> None:
    if env.t:
        parts["terminateds"]["ann"] = int(parts["terminateds"]["ann"])


@spoils("agents_are_known", ERROR)
def reward_for_a_stranger(env: Any, parts: Parts) -> None:
    if env.t:
        parts["rewards"]["dan"] = 1.0


@spoils("agents_are_known", ERROR, Concerns.RLLIB)
def info_about_a_stranger(env: Any, parts: Parts) -> None:
    parts["infos"]["dan"] = {}


@spoils("ended_agents_stay_away", ERROR)
def back_from_the_dead(env: Any, parts: Parts) -> None:
    if env.t == BOB_DIES + 2:
        parts["observations"]["bob"] = np.zeros(3, np.float32)


@spoils("ended_agents_stay_away", ERROR, Concerns.RLLIB)
def reward_for_the_dead(env: Any, parts: Parts) -> None:
    if env.t > BOB_DIES:
        parts["rewards"]["bob"] = 0.0


@spoils("cut_agents_have_a_last_observation", ERROR, Concerns.RLLIB)
def no_last_observation(env: Any, parts: Parts) -> None:
    if env.t and parts["truncateds"]["__all__"]:
        del parts["observations"]["ann"]


@spoils("episode_is_over_with_its_agents", ERROR, Concerns.RLLIB)
def ends_without_all(env: Any, parts: Parts) -> None:
    if env.t and (parts["terminateds"]["__all__"] or parts["truncateds"]["__all__"]):
        parts["terminateds"] |= {**dict.fromkeys(parts["observations"], True), "__all__": False}
        parts["truncateds"]["__all__"] = False
        parts["infos"]["__common__"].pop("episode_metrics")


@spoils("episodes_end", WARNING)
def no_end(env: Any, parts: Parts) -> None:
    if env.t:
        parts["terminateds"] = {"__all__": False}
        parts["truncateds"] = {"__all__": False}
        parts["infos"]["__common__"].pop("episode_metrics", None)
        env.gone = set()


@spoils("every_agent_appears", WARNING)
def one_is_never_there(env: Any, parts: Parts) -> None:
    for part in parts.values():
        part.pop("ann", None)
    env.gone.add("ann")


@spoils("rewards_are_finite_numbers", ERROR)
def no_reward_at_all(env: Any, parts: Parts) -> None:
    if env.t == 2:
        parts["rewards"]["ann"] = None


@spoils("rewards_are_finite_numbers", ERROR)
def infinite_reward(env: Any, parts: Parts) -> None:
    if env.t == 2:
        parts["rewards"]["ann"] = np.inf


@spoils("rewards_are_scalars", ERROR, Concerns.RLLIB)
def array_for_reward(env: Any, parts: Parts) -> None:
    if env.t:
        parts["rewards"]["ann"] = np.array([parts["rewards"]["ann"]])


@spoils("who_acts_is_rewarded", ERROR, Concerns.RLLIB)
def no_reward_for_who_acted(env: Any, parts: Parts) -> None:
    if env.t == 2:
        del parts["rewards"]["ann"]


@spoils("rewards_are_not_large", WARNING)
def large_reward(env: Any, parts: Parts) -> None:
    if env.t:
        parts["rewards"]["ann"] += 5000


@spoils("there_are_rewards", NOTE)
def never_a_reward(env: Any, parts: Parts) -> None:
    if env.t:
        parts["rewards"] = dict.fromkeys(parts["rewards"], 0.0)


@spoils("infos_are_dictionaries", ERROR)
def text_for_info(env: Any, parts: Parts) -> None:
    parts["infos"]["bob"] = "fine"


@spoils("state_keeps_its_size", ERROR, Concerns.TEAMS)
def no_state_at_the_end(env: Any, parts: Parts) -> None:
    if env.t and (parts["terminateds"]["__all__"] or parts["truncateds"]["__all__"]):
        del parts["infos"]["__common__"]["state"]


@spoils("state_keeps_its_size", WARNING, Concerns.TEAMS)
def state_of_another_dtype(env: Any, parts: Parts) -> None:
    if env.t:
        parts["infos"]["__common__"]["state"] = parts["infos"]["__common__"]["state"].astype(np.float64)


@spoils("state_is_finite", ERROR, Concerns.TEAMS)
def infinite_state(env: Any, parts: Parts) -> None:
    if env.t == 2:
        parts["infos"]["__common__"]["state"][1] = np.inf


@spoils("metrics_are_numbers", ERROR)
def text_for_metrics(env: Any, parts: Parts) -> None:
    metrics = parts["infos"]["__common__"].get("episode_metrics", {})
    metrics.update(dict.fromkeys(metrics, "yes"))


@spoils("metrics_are_numbers", WARNING)
def metrics_that_are_not_set(env: Any, parts: Parts) -> None:
    metrics = parts["infos"]["__common__"].get("episode_metrics", {})
    metrics.update(dict.fromkeys(metrics, np.nan))


@spoils("nothing_is_raised", ERROR)
def raises(env: Any, parts: Parts) -> None:
    if env.t == 2:
        raise ZeroDivisionError("no more agents")


@spoils("nothing_is_raised", ERROR)
def four_results(env: Any, parts: Parts) -> Any:
    return (*list(parts.values())[:3], {}) if env.t else None


@spoils("nothing_is_raised", ERROR)
def arrays_for_dictionaries(env: Any, parts: Parts) -> None:
    if env.t:
        parts["rewards"] = np.array(list(parts["rewards"].values()))


@spoils("rllib_keeps_the_episodes", ERROR, Concerns.RLLIB)
def one_takes_over_from_another(env: Any, parts: Parts) -> None:
    # All who were there have ended when bob comes: RLlib takes the episode for finished.
    for part in parts.values():
        for agent in ("bob", "cid") if env.t < 2 else ("ann", "cid") if env.t > 2 else ("cid",):
            part.pop(agent, None)
    if env.t == 2:
        parts["terminateds"] |= {"ann": True, "bob": False}
        parts["rewards"].pop("bob")


@spoils("a_team_plays", ERROR, Concerns.TEAMS)
def nobody_is_there_at_first(env: Any, parts: Parts) -> None:
    if env.t == 0:
        parts["observations"] = {}
        parts["infos"] = {"__common__": parts["infos"]["__common__"]}


@pytest.mark.parametrize(
    ("check_name", "severity", "concerns", "change"),
    [
        pytest.param(check_name, *case, id=f"{check_name}-{case[2].__name__}")
        for check_name, cases in SPOILED.items()
        for case in cases
    ],
)
def test_what_is_given_wrongly_is_found(
    check_name: str, severity: Severity, concerns: Concerns, change: Callable[[Any, Parts], Any]
):
    assert found(spoiled(change)) == [(check_name, severity, concerns)]
