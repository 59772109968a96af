"""What acting during updates saves: seconds an env step takes with `overlap_acting` and without.

    OMP_NUM_THREADS=1 python benchmarks/overlap.py --quick
    OMP_NUM_THREADS=1 python benchmarks/overlap.py --json overlap.json

Two trainings of a tuned example, alike but for the option, take turns: so many cycles of updates each, with the env
steps that call for them, again and again. Their env runners are processes of their own, idle while the other training
has its turn. With `--wait` every env step takes longer by so many milliseconds in which the processor is free, as
with a game in another process or on another machine.
"""

import argparse
import json
import runpy
import time
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import ray
import torch
from figures import shown, spread, write
from ray.rllib.env.env_context import EnvContext
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from rich.console import Console
from rich.table import Table

from rllib_mamba.registry import make_environment

EXAMPLES = Path(__file__).parents[1] / "tuned_examples"
TURNS, OVERLAPPED = "in turns", "overlapped"
KINDS = {TURNS: False, OVERLAPPED: True}


class Waiting(MultiAgentEnv):
    """The environment `environment` of the settings, whose every step waits `wait` milliseconds longer."""

    def __init__(self, config: EnvContext) -> None:
        super().__init__()
        settings = dict(config)
        self._seconds = settings.pop("wait") / 1e3
        name = settings.pop("environment")
        self._environment = make_environment(name, EnvContext(settings, config.worker_index, config.vector_index))
        self.possible_agents = self._environment.possible_agents
        self.observation_spaces = self._environment.observation_spaces
        self.action_spaces = self._environment.action_spaces

    def reset(self, **kwargs: Any) -> Any:
        """As without waiting."""
        return self._environment.reset(**kwargs)

    def step(self, actions: dict[Any, Any]) -> Any:
        """Waits and steps."""
        time.sleep(self._seconds)
        return self._environment.step(actions)


def configuration(example: str, env_runners: int, overlap: bool, options: Mapping[str, Any], wait: float = 0.0) -> Any:
    """The configuration of a tuned example with so many env runners, its environments shared out among them."""
    config = runpy.run_path(str(EXAMPLES / f"{example}.py"))["config"]
    if wait:
        config.environment(Waiting, env_config={**config.env_config, "environment": config.env, "wait": wait})
    environments = max(1, config.num_envs_per_env_runner // env_runners)
    config.env_runners(num_env_runners=env_runners, num_envs_per_env_runner=environments)
    config.debugging(seed=0, log_level="ERROR")
    return config.training(overlap_acting=overlap, **options)


def turn(algorithm: Any, cycles: int) -> dict[str, float]:
    """Seconds until at least so many cycles are done, those of them that were waited for env runners, and env steps."""
    schedule = algorithm.update_schedule
    begin, waited, env_steps, done = time.perf_counter(), waiting(algorithm), schedule.env_steps, schedule.cycles_done
    while schedule.cycles_done < done + cycles:
        algorithm.training_step()
    return {
        "seconds": time.perf_counter() - begin,
        "waited": waiting(algorithm) - waited,
        "env_steps": schedule.env_steps - env_steps,
        "cycles": schedule.cycles_done - done,
    }


def waiting(algorithm: Any) -> float:
    """Seconds for which env runners were waited for so far."""
    return float(algorithm.metrics.peek(("timers", "env_runner_sample"), default=0.0))


def compare(algorithms: Mapping[str, Any], cycles: int, repeats: int) -> dict[str, Any]:
    """Seconds by env step of trainings that take turns, after a first one that does not count.

    How many env steps fall into a turn is chance, while the same number calls for each cycle in the long run: seconds
    are counted by cycle, and parted by the mean number of env steps that a cycle had in all turns.

    Returns:
        Of every kind of training "milliseconds" by env step and "waited", the share that env runners were waited for,
        and "ratio" of the last kind to the first in every round; each least, median, most.
    """
    for algorithm in algorithms.values():
        turn(algorithm, 2)
    rounds = [{kind: turn(algorithm, cycles) for kind, algorithm in algorithms.items()} for _ in range(repeats)]
    turns = [found[kind] for found in rounds for kind in algorithms]
    env_steps_per_cycle = sum(one["env_steps"] for one in turns) / sum(one["cycles"] for one in turns)
    seconds = {kind: [found[kind]["seconds"] / found[kind]["cycles"] for found in rounds] for kind in algorithms}
    costs: dict[str, Any] = {
        kind: {
            "milliseconds": spread([1e3 * one / env_steps_per_cycle for one in seconds[kind]]),
            "waited": spread([found[kind]["waited"] / found[kind]["seconds"] for found in rounds]),
        }
        for kind in algorithms
    }
    first, *_, last = algorithms
    ratios = [after / before for before, after in zip(seconds[first], seconds[last], strict=True)]
    return costs | {"ratio": spread(ratios), "env_steps_per_cycle": env_steps_per_cycle}


def measure(example: str, env_runners: int, options: Mapping[str, Any], arguments: argparse.Namespace) -> Any:
    """Compares both kinds of training of an example."""
    algorithms = {}
    try:
        for kind, overlap in KINDS.items():
            algorithms[kind] = configuration(example, env_runners, overlap, options, arguments.wait).build_algo()
        found = compare(algorithms, arguments.cycles, arguments.repeats)
    finally:
        for algorithm in algorithms.values():
            algorithm.stop()
    return {"example": example, "env_runners": env_runners} | found


def table_of(results: list[dict[str, Any]]) -> Table:
    """What is printed."""
    table = Table(title="Milliseconds by env step, median (least to most)", title_justify="left")
    for heading in ("example", "env runners", *KINDS, "of it waiting for env runners", "ratio"):
        table.add_column(heading, overflow="fold")
    for found in results:
        costs = [shown(found[kind]["milliseconds"], 2) for kind in KINDS]
        waited = ", ".join(f"{found[kind]['waited'][1]:.1%}" for kind in KINDS)
        table.add_row(found["example"], str(found["env_runners"]), *costs, waited, shown(found["ratio"], 2))
    return table


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", nargs="+", default=["mamba/flatland_5_agents_small"], help="of tuned_examples/")
    parser.add_argument("--env-runners", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--cycles", type=int, default=5, help="cycles of updates of a turn")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each training")
    parser.add_argument("--threads", type=int, default=1, help="torch threads of the learner")
    parser.add_argument("--wait", type=float, default=0.0, help="milliseconds that an env step takes longer")
    parser.add_argument("--options", default='{"min_steps_before_learning": 500}', help="training options, as JSON")
    parser.add_argument("--quick", action="store_true", help="one env runner, two turns of two cycles")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    return parser.parse_args()


def main() -> None:
    """Measures and prints."""
    arguments = parse()
    if arguments.quick:
        arguments.env_runners, arguments.cycles, arguments.repeats = [1], 2, 2
    torch.set_num_threads(arguments.threads)
    ray.init(include_dashboard=False, log_to_driver=False, num_cpus=2 * max(arguments.env_runners) + 1)
    options, results = json.loads(arguments.options), []
    for example, env_runners in product(arguments.examples, arguments.env_runners):
        results.append(measure(example, env_runners, options, arguments))
        Console().print(table_of(results[-1:]))
    Console().print(table_of(results))
    if arguments.json:
        write(arguments.json, results)


if __name__ == "__main__":
    main()
