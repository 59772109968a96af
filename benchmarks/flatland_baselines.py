"""How many trains arrive without any learning: random actions, always the first branch, the shortest path.

    python benchmarks/flatland_baselines.py --maps flatland_5_agents --episodes 50 --first-seed 0 --json baselines.json

The maps are those of `env.reset(seed=s)` for the given seeds, the same for every policy.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rllib_mamba.envs.flatland import PRESETS, FlatlandEnv
from rllib_mamba.envs.flatland.baselines import shortest_path_action

Policy = Callable[[np.ndarray], int]


def run_episode(env: FlatlandEnv, choose: Policy, seed: int) -> dict[str, float]:
    """Metrics of one episode, with the mean return of a train."""
    observations, _ = env.reset(seed=seed)
    total = 0.0
    while True:
        actions = {agent_id: choose(observation) for agent_id, observation in observations.items()}
        observations, rewards, terminateds, truncateds, infos = env.step(actions)
        total += sum(rewards.values())
        if terminateds["__all__"] or truncateds["__all__"]:
            metrics = infos["__common__"]["episode_metrics"]
            return {**metrics, "timed_out": float(truncateds["__all__"]), "return": total / len(env.possible_agents)}
        observations = {agent_id: row for agent_id, row in observations.items() if not terminateds[agent_id]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--maps", nargs="+", default=["flatland_5_agents"], choices=list(PRESETS))
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures, episode by episode, to this file")
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    policies: dict[str, Policy] = {
        "random": lambda observation: int(generator.integers(3)),
        "first branch": lambda observation: 0,
        "shortest path": shortest_path_action,
    }
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.episodes)
    results = []
    columns = ("arrived", "deadlocked", "timed_out", "episode_length", "return")
    print(f"{'map':20}{'policy':16}" + "".join(f"{column:>22}" for column in columns))
    for name in arguments.maps:
        env = FlatlandEnv(PRESETS[name])
        for policy, choose in policies.items():
            episodes = [run_episode(env, choose, seed) for seed in seeds]
            results.append({"map": name, "policy": policy, "seeds": list(seeds), "episodes": episodes})
            cells = []
            for column in columns:
                values = [episode[column] for episode in episodes]
                cells.append(f"{np.mean(values):.3f} +- {np.std(values) / len(values) ** 0.5:.3f}")
            print(f"{name:20}{policy:16}" + "".join(f"{cell:>22}" for cell in cells))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
