"""Short runs of MAMBA and what is compared between them."""

import pickle
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from signals import Signals

from rllib_mamba import MAMBA, MAMBAConfig

#: Results that tell how fast a run was, or over how much of it a mean was taken.
TIMES = ("throughput", "num_trainable", "num_non_trainable")


def symbol_game(**options: Any) -> MAMBAConfig:
    """A seeded run of seconds: an update of each kind for every 100 env steps, from the second iteration on."""
    config = MAMBAConfig().environment("symbol_game").preset("debug").debugging(seed=3, log_level="ERROR")
    return config.training(**options)


def two_teams(**options: Any) -> MAMBAConfig:
    """The symbol game in two teams, of two agents and of one."""
    return symbol_game(**options).multi_agent(policies={"pair", "lone"}, policy_mapping_fn=pair_and_lone)


def signals(**options: Any) -> MAMBAConfig:
    """A game with masks, deaths and agents of different sizes; observations in units of their own."""
    return symbol_game(normalize_observations=True, **options).environment(Signals)


def pair_and_lone(agent_id: str, *args: Any, **kwargs: Any) -> str:
    return "lone" if agent_id.endswith("2") else "pair"


def annealed(**options: Any) -> MAMBAConfig:
    """Everything that changes in the course of a run does so fast."""
    schedule = [[0, 1e-3], [1000, 1e-5]]
    return symbol_game(
        world_model_lr=schedule,
        actor_lr=schedule,
        critic_lr=schedule,
        entropy_coeff=[[0, 1e-2], [1000, 1e-3]],
        entropy_decay=0.9,
        use_target_critic=True,
        target_update_interval=3,
        normalize_observations=True,
        **options,
    )


def afterwards_of(killed_run: Path, name: str) -> dict[str, Any]:
    """What `interrupted_run.py` left of the iterations after the checkpoint."""
    return pickle.loads((killed_run / name / "afterwards.pkl").read_bytes())


def learner_results(result: Mapping[str, Any]) -> dict[str, float]:
    """All numbers under `learners`, by path, except those about time."""
    return {
        path: float(value)
        for path, value in leaves(result["learners"])
        if not any(part in path for part in TIMES) and "weights_seq_no" not in path
    }


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", value


def weights(algorithm: MAMBA) -> dict[str, np.ndarray]:
    """All parameters of all modules, those of critics included, by path."""
    return dict(leaves(algorithm.learner_group.get_weights()))


def acting_weights(algorithm: MAMBA) -> list[dict[str, np.ndarray]]:
    """What every env runner acts with."""
    return algorithm.env_runner_group.foreach_env_runner(
        lambda runner: {
            f"{name}/{key}": value.numpy()
            for name, module in runner.module.items()
            for key, value in module.state_dict().items()
        }
    )


def assert_same(actual: Mapping[str, Any], expected: Mapping[str, Any], but: Iterable[str] = ()) -> None:
    """Equal in every number, bit for bit."""
    assert actual.keys() == expected.keys()
    different = [name for name in expected if not np.array_equal(actual[name], expected[name], equal_nan=True)]
    assert not set(different) - set(but), {
        name: (np.ravel(actual[name])[:3], np.ravel(expected[name])[:3]) for name in different
    }


def assert_different(actual: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    assert actual.keys() == expected.keys()
    assert any(not np.array_equal(actual[name], expected[name]) for name in expected)
