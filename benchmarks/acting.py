"""What acting costs: env steps a second of MAMBA's env runners, and where their time goes.

    python benchmarks/acting.py --quick
    python benchmarks/acting.py --json acting.json

A cheap environment of agents that get random numbers, a world model of hidden size 256 with communication, and the env
runners that training uses, over numbers of agents, environments and env runners. Env steps are counted by CPU second of
one torch thread where there are no remote env runners, and by the second where there are. Time is parted into module,
environment (with its teams) and RLlib: the rest.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import ray
import torch
from figures import shown, spread, write
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from rich.console import Console
from rich.table import Table

from rllib_mamba import MAMBAConfig

AGENTS, ENVIRONMENTS, RUNNERS = (3, 5, 10, 30, 100), (1, 8, 32), (0, 2)
OBSERVATION_SIZE, NUM_ACTIONS, EPISODE_LENGTH = 30, 9, 100


class CheapEnv(MultiAgentEnv):
    """Agents that see the same random numbers throughout an episode of fixed length, with masks."""

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.possible_agents = self.agents = [f"agent_{index}" for index in range((config or {}).get("agents", 3))]
        space = gym.spaces.Dict(
            {
                "observation": gym.spaces.Box(-1, 1, (OBSERVATION_SIZE,), np.float32),
                "action_mask": gym.spaces.MultiBinary(NUM_ACTIONS),
            }
        )
        self.observation_spaces = dict.fromkeys(self.agents, space)
        self.action_spaces = dict.fromkeys(self.agents, gym.spaces.Discrete(NUM_ACTIONS))
        self._rewards = dict.fromkeys(self.agents, 0.1)
        self._observations = {
            agent: {
                "observation": np.random.default_rng(0).uniform(-1, 1, OBSERVATION_SIZE).astype(np.float32),
                "action_mask": np.ones(NUM_ACTIONS, np.int8),
            }
            for agent in self.agents
        }

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        """Begins an episode."""
        self._steps = 0
        return self._observations, {}

    def step(self, actions: Mapping[str, int]) -> tuple[Any, Any, Any, Any, Any]:
        """Counts steps."""
        self._steps += 1
        over = {"__all__": self._steps >= EPISODE_LENGTH}
        return self._observations, self._rewards, {"__all__": False}, over, {}


def nothing(*args: Any) -> list[Any]:
    """Put into a pipeline of connectors, where it makes RLlib's own ones stay."""
    return []


def configuration(
    agents: int, environments: int, runners: int, sizes: Mapping[str, Any], rllib_connectors: bool = False
) -> MAMBAConfig:
    """MAMBA on the cheap environment; no training."""
    config = MAMBAConfig().environment(CheapEnv, env_config={"agents": agents}).debugging(seed=0)
    config.env_runners(
        num_env_runners=runners,
        num_envs_per_env_runner=environments,
        rollout_fragment_length=25,
        batch_mode="truncate_episodes",
    )
    if rllib_connectors:
        config.env_runners(env_to_module_connector=nothing)
    return config.training(**sizes)


def timed(owner: Any, name: str, seconds: dict[str, float], part: str) -> None:
    """From now on the CPU seconds of a method count for a part."""
    function: Callable[..., Any] = getattr(owner, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        begin = time.process_time()
        result = function(*args, **kwargs)
        seconds[part] = seconds.get(part, 0.0) + time.process_time() - begin
        return result

    setattr(owner, name, call)


def steps_of(episodes: list[Any]) -> int:
    """Env steps of what env runners sampled."""
    return sum(len(episode) for episode in episodes)


def instrumented(runner: Any) -> dict[str, float]:
    """The CPU seconds of an env runner's module and environment, which grow as it samples."""
    seconds: dict[str, float] = {}
    timed(runner.module, "forward_exploration", seconds, "module")
    timed(runner.env, "step", seconds, "environment")
    return seconds


def shares_of(seconds: Mapping[str, float], total: float) -> dict[str, float]:
    """What part of the CPU seconds went where."""
    shares = {part: spent / total for part, spent in seconds.items()}
    return {"RLlib": 1 - sum(shares.values())} | shares


def measure_local(config: MAMBAConfig, seconds: float, repeats: int) -> dict[str, Any]:
    """Env steps by CPU second of an env runner in this process, and the shares of its parts."""
    config.validate()
    runner = config.env_runner_cls(config=config, worker_index=0, num_workers=0)
    steps_of(runner.sample(random_actions=False))
    parts = instrumented(runner)
    rates, total = [], 0.0
    for _ in range(repeats):
        begin, steps = time.process_time(), 0
        while (spent := time.process_time() - begin) < seconds:
            steps += steps_of(runner.sample())
        rates.append(steps / spent)
        total += spent
    runner.stop()
    return {"steps_per_second": spread(rates), "shares": shares_of(parts, total)}


def begin_remote(runner: Any) -> None:
    """In an env runner's own process: from now on CPU seconds count."""
    torch.set_num_threads(1)
    runner.sample()
    runner.measured = (instrumented(runner), time.process_time())


def end_remote(runner: Any) -> tuple[dict[str, float], float]:
    """CPU seconds of its parts since then, and all that its process took, Ray's share included."""
    seconds, begin = runner.measured
    return seconds, time.process_time() - begin


def measure_remote(config: MAMBAConfig, seconds: float, repeats: int) -> dict[str, Any]:
    """Env steps by the second of env runners in processes of their own, which have a core each at best, with their
    episodes on the way to this process; and the shares of the CPU seconds of their processes."""
    algorithm = config.build_algo()
    try:
        group = algorithm.env_runner_group
        group.foreach_env_runner(begin_remote, local_env_runner=False)
        rates = []
        for _ in range(repeats):
            begin, steps = time.perf_counter(), 0
            while (spent := time.perf_counter() - begin) < seconds:
                counted = group.foreach_env_runner(lambda runner: runner.sample(), local_env_runner=False)
                steps += sum(steps_of(episodes) for episodes in counted)
            rates.append(steps / spent)
        ends = group.foreach_env_runner(end_remote, local_env_runner=False)
    finally:
        algorithm.stop()
    parts = {part: sum(spent[part] for spent, _ in ends) for part in ("module", "environment")}
    return {"steps_per_second": spread(rates), "shares": shares_of(parts, sum(total for _, total in ends))}


def table_of(results: list[dict[str, Any]]) -> Table:
    """What is printed."""
    table = Table(title="Env steps a second, median (least to most)", title_justify="left")
    for heading in ("agents", "envs", "runners", "connectors", "steps", "RLlib", "module", "environment"):
        table.add_column(heading)
    for found in results:
        shares = [f"{found['shares'][part]:.0%}" for part in ("RLlib", "module", "environment")]
        counts = [str(found[name]) for name in ("agents", "environments", "env_runners", "connectors")]
        table.add_row(*counts, shown(found["steps_per_second"]), *shares)
    return table


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", nargs="+", type=int, default=AGENTS)
    parser.add_argument("--environments", nargs="+", type=int, default=ENVIRONMENTS)
    parser.add_argument("--env-runners", nargs="+", type=int, default=RUNNERS)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rllib-connectors", action="store_true", help="RLlib's own connectors for comparison, too")
    parser.add_argument("--options", default='{"hidden_size": 256}', help="MAMBA options, as JSON")
    parser.add_argument("--quick", action="store_true", help="3 and 10 agents in 8 environments, no env runners apart")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    return parser.parse_args()


def main() -> None:
    """Measures and prints."""
    arguments = parse()
    if arguments.quick:
        arguments.agents, arguments.environments, arguments.env_runners = (3, 10), (8,), (0,)
        arguments.seconds, arguments.repeats = min(arguments.seconds, 0.5), 2
    torch.set_num_threads(1)
    options, results = json.loads(arguments.options), []
    if any(arguments.env_runners):
        ray.init(include_dashboard=False, log_to_driver=False, num_cpus=max(arguments.env_runners) + 1)
    kinds = (False, True) if arguments.rllib_connectors else (False,)
    sizes = product(arguments.env_runners, arguments.environments, arguments.agents, kinds)
    for runners, environments, agents, rllib in sizes:
        config = configuration(agents, environments, runners, options, rllib)
        measured = (measure_remote if runners else measure_local)(config, arguments.seconds, arguments.repeats)
        counts = {"agents": agents, "environments": environments, "env_runners": runners}
        results.append(counts | {"connectors": "RLlib's" if rllib else "ours"} | measured)
    Console().print(table_of(results))
    if arguments.json:
        write(arguments.json, results)


if __name__ == "__main__":
    main()
