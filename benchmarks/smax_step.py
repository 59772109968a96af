"""Env steps a second of SMAX without a policy: jaxmarl by itself, one environment, and several that step together.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/smax_step.py --out smax_step.json

`jaxmarl`: its own `step` as it comes, compiled for one environment, with everything it gives as numpy arrays.
`environments`: `SMAXEnv.step_async` and `step_wait` with the dicts that agents get, resets included.
`teams`: the same in teams, in the vector of environments that an env runner steps.
Actions are uniform over all actions, legal or not, drawn beforehand.
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ray.rllib.env.env_context import EnvContext
from ray.rllib.env.vector.sync_vector_multi_agent_env import SyncVectorMultiAgentEnv

from rllib_mamba.envs.smax import SMAXEnv
from rllib_mamba.envs.smax.runtime import load_jax, load_smax
from rllib_mamba.teams import TeamEnv
from rllib_mamba.teams.vector import TwoPhaseVectorEnv

Step = Callable[[], None]
TABLE = 1000


def jaxmarl_alone(scenario: str, generator: np.random.Generator) -> Step:
    jax, smax = load_jax(), load_smax()
    env = smax.HeuristicEnemySMAX(scenario=smax.map_name_to_scenario(scenario))
    _, state = env.reset(jax.random.PRNGKey(0))
    drawn = generator.integers(env.num_ally_actions, size=(TABLE, env.num_allies)).astype(np.int32)
    key, taken = jax.random.PRNGKey(1), 0

    def step() -> None:
        nonlocal state, key, taken
        key, step_key = jax.random.split(key)
        actions = dict(zip(env.agents, drawn[taken % TABLE], strict=True))
        observations, state, rewards, dones, _ = env.step(step_key, state, actions)
        jax.tree.map(np.asarray, (observations, rewards, dones, env.get_avail_actions(state)))
        taken += 1

    return step


def environments(scenario: str, number: int, generator: np.random.Generator) -> Step:
    envs = [SMAXEnv({"scenario": scenario, "seed": seed}) for seed in range(number)]
    living = [list(env.reset()[0]) for env in envs]
    num_actions = envs[0].action_spaces["ally_0"].n
    drawn = generator.integers(num_actions, size=(TABLE, number, len(living[0]))).tolist()
    taken = 0

    def step() -> None:
        nonlocal taken
        for env, agents, actions in zip(envs, living, drawn[taken % TABLE], strict=True):
            env.step_async(dict(zip(agents, actions, strict=False)))
        for index, env in enumerate(envs):
            observations, _, terminateds, truncateds, _ = env.step_wait()
            if terminateds["__all__"] or truncateds["__all__"]:
                observations, _ = env.reset()
                terminateds = {}
            living[index] = [agent for agent in observations if not terminateds.get(agent)]
        taken += 1

    return step


def teams(scenario: str, number: int, generator: np.random.Generator) -> Step:
    def make(seed: int) -> TeamEnv:
        env = SMAXEnv(EnvContext({"scenario": scenario, "seed": seed}, worker_index=1, vector_index=seed))
        return TeamEnv(env, {"allies": env.possible_agents})

    vector = TwoPhaseVectorEnv(SyncVectorMultiAgentEnv([partial(make, seed) for seed in range(number)]))
    vector.reset()
    sizes = vector.single_action_spaces["allies"].nvec
    drawn = generator.integers(sizes, size=(TABLE, number, len(sizes)))
    taken = 0

    def step() -> None:
        nonlocal taken
        vector.step([{"allies": actions} for actions in drawn[taken % TABLE]])
        taken += 1

    return step


def measure(make: Callable[[np.random.Generator], Step], number: int, seconds: float) -> dict[str, Any]:
    start = time.process_time()
    step = make(np.random.default_rng(0))
    for _ in range(5):
        step()
    first = time.process_time() - start
    # The best of several stretches: others use the machine as well.
    best: dict[str, float] = {"env_steps_per_second": 0.0, "env_steps_per_cpu_second": 0.0}
    for _ in range(5):
        steps, start, cpu_start = 0, time.perf_counter(), time.process_time()
        while time.perf_counter() - start < seconds / 5:
            step()
            steps += number
        speeds = (steps / (time.perf_counter() - start), steps / (time.process_time() - cpu_start))
        best = {name: max(best[name], speed) for name, speed in zip(best, speeds, strict=True)}
    return {"number": number, "cpu_seconds_to_start": first, **best}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenarios", nargs="+", default=["3m"])
    parser.add_argument("--seconds", type=float, default=10.0, help="for each line of the table")
    parser.add_argument("--out", type=Path, help="write the figures to this file, as JSON")
    arguments = parser.parse_args()
    results = []
    print(f"{'scenario':14}{'what':14}{'number':>7}{'env steps/s':>13}{'per CPU s':>11}{'CPU s to start':>16}")
    for scenario in arguments.scenarios:
        lines: list[tuple[str, int, Callable[[np.random.Generator], Step]]] = [
            ("jaxmarl", 1, partial(jaxmarl_alone, scenario)),
            *(("environments", number, partial(environments, scenario, number)) for number in (1, 8, 32)),
            *(("teams", number, partial(teams, scenario, number)) for number in (8, 32)),
        ]
        for what, number, make in lines:
            row = {"scenario": scenario, "what": what, **measure(make, number, arguments.seconds)}
            results.append(row)
            print(
                f"{scenario:14}{what:14}{number:7}{row['env_steps_per_second']:13.0f}"
                f"{row['env_steps_per_cpu_second']:11.0f}{row['cpu_seconds_to_start']:16.1f}",
                flush=True,
            )
    if arguments.out:
        arguments.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
