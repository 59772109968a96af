"""CPU time of the Flatland environment: a step with all observations, the part of it that is Flatland's own, a reset.

    python benchmarks/flatland_step.py --json flatland_step.json

Trains follow their shortest paths; once they have terminated the episode goes on until it ends.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rllib_mamba.envs.flatland import PRESETS, FlatlandEnv
from rllib_mamba.envs.flatland.baselines import shortest_path_action

Policy = Callable[[np.ndarray], int]


class Stopwatch:
    """CPU time spent in the calls of one function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.seconds: list[float] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        start = time.process_time()
        result = self._function(*args, **kwargs)
        self.seconds.append(time.process_time() - start)
        return result


def measure(name: str, episodes: int, choose: Policy) -> dict[str, float]:
    """Mean milliseconds of CPU time on the map `name`, over so many episodes."""
    env = FlatlandEnv(PRESETS[name])
    step, reset = Stopwatch(env.step), Stopwatch(env.reset)
    simulator = Stopwatch(env.rail_env.step)
    env.rail_env.step = simulator
    for episode in range(episodes):
        observations, _ = reset(seed=episode)
        over = False
        while not over:
            actions = {agent_id: choose(observation) for agent_id, observation in observations.items()}
            observations, _, terminateds, truncateds, _ = step(actions)
            observations = {agent_id: row for agent_id, row in observations.items() if not terminateds[agent_id]}
            over = terminateds["__all__"] or truncateds["__all__"]
    return {
        "trains": env.settings.number_of_trains,
        "steps": len(step.seconds),
        "step_ms": 1e3 * float(np.mean(step.seconds)),
        "step_ms_99th_percentile": 1e3 * float(np.percentile(step.seconds, 99)),
        "flatland_ms": 1e3 * float(np.mean(simulator.seconds)),
        "reset_ms": 1e3 * float(np.mean(reset.seconds)),
        "reset_ms_max": 1e3 * float(np.max(reset.seconds)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--maps", nargs="+", default=list(PRESETS), choices=list(PRESETS))
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    policies: dict[str, Policy] = {
        "random": lambda observation: int(generator.integers(3)),
        "shortest path": shortest_path_action,
    }
    results = []
    print(
        f"{'map':20}{'policy':16}{'step ms':>9}{'99 %':>8}{'of it Flatland':>16}"
        f"{'reset ms':>10}{'worst':>8}{'steps':>8}"
    )
    for name in arguments.maps:
        for policy, choose in policies.items():
            row = measure(name, arguments.episodes, choose)
            results.append({"map": name, "policy": policy, **row})
            print(
                f"{name:20}{policy:16}{row['step_ms']:9.3f}{row['step_ms_99th_percentile']:8.3f}"
                f"{row['flatland_ms']:16.3f}{row['reset_ms']:10.1f}{row['reset_ms_max']:8.1f}{row['steps']:8}"
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
