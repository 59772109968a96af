"""Every check finds its fault, and nothing else does."""

import random
import threading
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
    assert report.facts["gives"] == ("action masks, communication masks, a global state of 3 numbers, the metrics won")
    assert report.facts["deaths"] == "4 of 12 agents ended before their episode did"
    assert report.facts["drawing"] == "images of 6 x 4"


def test_nothing_is_wrong_with_two_phases():
    assert found(InTwoPhases) == []


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
    parts["infos"]["__all__"] = "fine"


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
def others_take_over_as_one_ends(env: Any, parts: Parts) -> None:
    # All who were there have ended when the others come: RLlib takes the episode for finished.
    hidden = ("bob", "cid") if env.t < 2 else ("ann",) if env.t > 2 else ()
    for part in parts.values():
        for agent in hidden:
            part.pop(agent, None)
    if env.t == 2:
        parts["terminateds"]["ann"] = True
        env.gone.add("ann")


@spoils("somebody_begins", ERROR, Concerns.RLLIB)
def nobody_is_there_at_first(env: Any, parts: Parts) -> None:
    if env.t == 0:
        parts["observations"] = {}


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


# ---------------------------------------------------------------------- what an environment is


class TakesNothing(Faultless):
    def __init__(self) -> None:
        super().__init__()


class NeedsASize(Faultless):
    def __init__(self, config: Any) -> None:
        raise ValueError(f"size must be at least 2, not {config.get('size')}")


class OnlyOne(Faultless):
    made = 0

    def __init__(self, config: Any) -> None:
        OnlyOne.made += 1
        if OnlyOne.made > 1:
            raise OSError("the port 4711 is in use")
        super().__init__(config)


class Alone(gym.Env):
    observation_space = BOX
    action_space = gym.spaces.Discrete(2)

    def __init__(self, config: Any) -> None:
        """Has nobody to play with."""


class Nobody(MultiAgentEnv):
    def __init__(self, config: Any) -> None:
        super().__init__()


class Uninitialised(Faultless):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        del self._agent_ids


class ResetWithoutOptions(Faultless):
    def reset(self, seed: int | None = None) -> Any:
        return super().reset(seed=seed)


class StrictAboutActions(Faultless):
    def step(self, action_dict: Any) -> Any:
        for agent, action in action_dict.items():
            assert action or self.places[agent], "an illegal action"
        return super().step(action_dict)


class WaitsForAll(Faultless):
    def step(self, action_dict: Any) -> Any:
        return super().step({agent: action_dict[agent] for agent in AGENTS})


class InTwoPhases(Faultless):
    def step_async(self, action_dict: Any) -> None:
        self.result = super().step(action_dict)

    def step_wait(self) -> Any:
        return self.result

    def step(self, action_dict: Any) -> Any:
        self.step_async(action_dict)
        return self.step_wait()


class OtherInTwoPhases(InTwoPhases):
    def step_wait(self) -> Any:
        result = super().step_wait()
        result[1]["ann"] += 1
        return result

    def step(self, action_dict: Any) -> Any:
        return Faultless.step(self, action_dict)


class OnlyOnePhase(Faultless):
    def step_async(self, action_dict: Any) -> None:
        """Hands in actions."""


class WithoutMasks(Faultless):
    def spoil(self, parts: Parts) -> None:
        for agent in AGENTS:
            parts["infos"].pop(agent, None)


class OneSpaceForAll(WithoutMasks):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.observation_space, self.observation_spaces = BOX, None


class Dictionaries(WithoutMasks):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.observation_spaces = {agent: gym.spaces.Dict({"here": BOX}) for agent in AGENTS}

    def spoil(self, parts: Parts) -> None:
        super().spoil(parts)
        parts["observations"] = {agent: {"here": value} for agent, value in parts["observations"].items()}


class OutOfScale(Faultless):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.observation_spaces = {agent: gym.spaces.Box(-np.inf, np.inf, (3,), np.float32) for agent in AGENTS}

    def spoil(self, parts: Parts) -> None:
        parts["observations"]["ann"][2] *= 10_000


class OtherExample(Faultless):
    def example_reset(self) -> Any:
        return {agent: np.zeros(3, np.float32) for agent in AGENTS}, {}


def unlike_in_class(**attributes: Any) -> type:
    return type("Unlike", (Faultless,), attributes)


continuous = {agent: gym.spaces.Box(-1, 1, (1,)) for agent in AGENTS}
of_ann_only = {"ann": gym.spaces.Discrete(3)}


class UnevenActions(WithoutMasks):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.action_spaces["bob"] = gym.spaces.Discrete(2)


@pytest.mark.parametrize(
    ("specifier", "check_name", "severity", "concerns"),
    [
        (TakesNothing, "constructor_works", ERROR, Concerns.ALL),
        (NeedsASize, "constructor_works", ERROR, Concerns.ALL),
        (OnlyOne, "constructor_works", ERROR, Concerns.ALL),
        ("no_such_module:Env", "constructor_works", ERROR, Concerns.ALL),
        (Alone, "environment_is_multi_agent", ERROR, Concerns.ALL),
        (Nobody, "environment_is_multi_agent", ERROR, Concerns.ALL),
        (Uninitialised, "base_class_is_initialised", ERROR, Concerns.ALL),
        (ResetWithoutOptions, "reset_takes_a_seed", ERROR, Concerns.ALL),
        (StrictAboutActions, "illegal_actions_do_no_harm", WARNING, Concerns.RLLIB),
        (WaitsForAll, "nothing_is_raised", ERROR, Concerns.ALL),
        (OneSpaceForAll, "spaces_are_given_by_agent", ERROR, Concerns.RLLIB),
        (Dictionaries, "observations_are_plain", NOTE, Concerns.RLLIB),
        (OutOfScale, "features_are_of_one_scale", NOTE, Concerns.ALL),
        (unlike(action_spaces=continuous), "spaces_are_supported", ERROR, Concerns.TEAMS),
        (UnevenActions, "spaces_are_equal", NOTE, Concerns.RLLIB),
        (OtherInTwoPhases, "two_phases_make_a_step", ERROR, Concerns.TEAMS),
        (OnlyOnePhase, "two_phases_make_a_step", WARNING, Concerns.TEAMS),
        (OtherExample, "a_team_plays", ERROR, Concerns.TEAMS),
        (unlike(agents=[]), "rllib_accepts_the_environment", ERROR, Concerns.RLLIB),
        (unlike(action_spaces=of_ann_only), "spaces_are_supported", ERROR, Concerns.ALL),
        (unlike_in_class(render=lambda self: None), "rendering_gives_images", NOTE, Concerns.ALL),
        (unlike_in_class(render=lambda self: 1 / 0), "rendering_gives_images", NOTE, Concerns.ALL),
    ],
)
def test_what_is_built_wrongly_is_found(specifier: Any, check_name: str, severity: Severity, concerns: Concerns):
    assert found(specifier) == [(check_name, severity, concerns)]


def test_all_that_is_wrong_is_found_at_once():
    class Worse(UnevenActions):
        def spoil(self, parts: Parts) -> None:
            super().spoil(parts)
            not_a_number(self, parts)
            info_about_a_stranger(self, parts)

    assert [check_name for check_name, *_ in found(Worse)] == [
        "agents_are_known",
        "observations_are_finite",
        "spaces_are_equal",
    ]


def test_what_cannot_be_sent_to_other_processes_is_found():
    lock = threading.Lock()

    def make(context: Any) -> Faultless:
        with lock:
            return Faultless(context)

    assert found(make) == [("can_be_sent", ERROR, Concerns.ALL)]


def test_how_slow_an_environment_is(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(facts, "SLOW", 1e9)
    assert found(Faultless) == [("speed_is_bearable", WARNING, Concerns.ALL)]


# ---------------------------------------------------------------------- randomness


class FromGlobalRandom(Faultless):
    def spoil(self, parts: Parts) -> None:
        parts["observations"]["ann"][1] = random.uniform(-1, 1)


class DifferentFromInstanceToInstance(Faultless):
    made = 0

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        DifferentFromInstanceToInstance.made += 1
        self.number = self.made

    def spoil(self, parts: Parts) -> None:
        parts["observations"]["ann"][1] = 1 / self.number


class WithoutChance(Faultless):
    def spoil(self, parts: Parts) -> None:
        for observation in parts["observations"].values():
            observation[1:] = 0.5


class OneSeedForAll(Faultless):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return super().reset(seed=None if seed is None else 1)


class TheSameAgain(Faultless):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return super().reset(seed=5 if seed is None else seed)


class OneStreamForAll(Faultless):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        super().reset(seed=7)


class OneStreamForAWorker(Faultless):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        super().reset(seed=config.worker_index)


@pytest.mark.parametrize(
    ("specifier", "check_name", "severity", "seen"),
    [
        (
            FromGlobalRandom,
            "seeds_repeat_episodes",
            WARNING,
            ["once more, the observations of 'ann' differ"],
        ),
        (DifferentFromInstanceToInstance, "seeds_repeat_episodes", WARNING, ["in a second environment"]),
        (WithoutChance, "seeds_repeat_episodes", NOTE, ["every episode is the same"]),
        (OneSeedForAll, "seeds_repeat_episodes", WARNING, ["the seeds 0 to 3 all give the same episode"]),
        (TheSameAgain, "episodes_differ_without_a_seed", WARNING, ["3 episodes in a row"]),
        (OneStreamForAll, "environments_differ", WARNING, ["only in their worker_index", "only in their vector_index"]),
        (OneStreamForAWorker, "environments_differ", WARNING, ["only in their vector_index"]),
    ],
)
def test_randomness(specifier: Any, check_name: str, severity: Severity, seen: list[str]):
    findings = check(specifier).findings
    assert [(finding.check, finding.severity) for finding in findings] == [(check_name, severity)] * len(seen)
    for finding, words in zip(findings, seen, strict=True):
        assert words in finding.seen


# ---------------------------------------------------------------------- how it is said


def test_findings_say_where_and_how_often():
    [finding] = check(spoiled(large_reward), episodes=1).findings
    assert finding.seen.startswith("episode 1, step 1, agent 'ann': the reward is ")
    assert "times more)." in finding.seen


def test_findings_name_the_line_that_raised():
    [finding] = check(spoiled(raises)).findings
    assert "episode 1, step 2: the environment raised ZeroDivisionError: no more agents" in finding.seen
    assert "test_checks.py:" in finding.seen
    assert "in raises)" in finding.seen


def test_whoever_waits_for_the_dead_is_told_so():
    [finding] = check(WaitsForAll).findings
    assert "wait for an action of 'bob'" in finding.remedy


def test_signature_of_the_constructor_is_told_from_other_faults():
    [signature], [other] = check(TakesNothing).findings, check(NeedsASize).findings
    assert "def __init__(self, config=None)" in signature.remedy
    assert "size must be at least 2, not None" in other.seen
    assert "def __init__" not in other.remedy
