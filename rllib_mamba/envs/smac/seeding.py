"""Seeds for what SMACv2 draws at the beginning of a battle: teams, positions, abilities."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np


def seed_distributions(environment: Any, seed: int) -> None:
    """Makes the draws of a `StarCraftCapabilityEnvWrapper` follow from `seed`.

    Its distributions have generators of their own, which take no seed, and use Python's common one beside.
    """
    generator = np.random.default_rng(seed)
    for distribution in environment.env_key_to_distribution_map.values():
        _replace_generators(distribution, generator)
        distribution.generate = _with_common_generator(distribution.generate, generator)


def _replace_generators(distribution: Any, generator: np.random.Generator) -> None:
    for name, value in vars(distribution).items():
        if isinstance(value, np.random.Generator):
            setattr(distribution, name, generator)
        elif type(value).__module__ == type(distribution).__module__:
            # Some are made of others.
            _replace_generators(value, generator)


def _with_common_generator(generate: Callable[[], Any], generator: np.random.Generator) -> Callable[[], Any]:
    def seeded() -> Any:
        before = random.getstate()
        random.seed(int(generator.integers(2**32)))
        try:
            return generate()
        finally:
            random.setstate(before)

    return seeded
