"""What acting during updates saves: seconds an env step takes with `overlap_acting` and without.

    OMP_NUM_THREADS=1 python benchmarks/overlap.py --quick
    OMP_NUM_THREADS=1 python benchmarks/overlap.py --json overlap.json

Two trainings of a tuned example, alike but for the option, take turns: so many steps of training each, again and
again, on the same number of updates and env steps. Their env runners are processes of their own, idle while the
other training has its turn.
"""

import argparse
import json
import os
import runpy
import time
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import ray
import torch
from rich.console import Console
from rich.table import Table

EXAMPLES = Path(__file__).parents[1] / "tuned_examples"
TURNS, OVERLAPPED = "in turns", "overlapped"
KINDS = {TURNS: False, OVERLAPPED: True}


def configuration(example: str, env_runners: int, overlap: bool, options: Mapping[str, Any]) -> Any:
    """The configuration of a tuned example with so many env runners, its environments shared out among them."""
    config = runpy.run_path(str(EXAMPLES / f"{example}.py"))["config"]
    environments = max(1, config.num_envs_per_env_runner // env_runners)
    config.env_runners(num_env_runners=env_runners, num_envs_per_env_runner=environments)
    config.debugging(seed=0, log_level="ERROR")
    return config.training(overlap_acting=overlap, **options)


def turn(algorithm: Any, steps: int) -> dict[str, float]:
    """Seconds of so many steps of training, those of them that were waited for env runners, env steps and cycles."""
    schedule = algorithm.update_schedule
    begin, waited, env_steps, cycles = time.perf_counter(), waiting(algorithm), schedule.env_steps, schedule.cycles_done
    for _ in range(steps):
        algorithm.training_step()
    return {
        "seconds": time.perf_counter() - begin,
        "waited": waiting(algorithm) - waited,
        "env_steps": schedule.env_steps - env_steps,
        "cycles": schedule.cycles_done - cycles,
    }


def waiting(algorithm: Any) -> float:
    """Seconds for which env runners were waited for so far."""
    return float(algorithm.metrics.peek(("timers", "env_runner_sample"), default=0.0))


def compare(algorithms: Mapping[str, Any], steps: int, repeats: int) -> dict[str, Any]:
    """Seconds by env step of trainings that take turns, after so many cycles that they have settled.

    Returns:
        Of every kind of training "milliseconds" by env step and "waited", the share that env runners were waited for,
        and "ratio" of the last kind to the first in every round; each least, median, most.
    """
    for algorithm in algorithms.values():
        while algorithm.update_schedule.cycles_done < 2:
            algorithm.training_step()
    rounds = [{kind: turn(algorithm, steps) for kind, algorithm in algorithms.items()} for _ in range(repeats)]
    first, *_, last = algorithms
    for found in rounds:
        same = [(found[kind]["env_steps"], found[kind]["cycles"]) for kind in algorithms]
        if len(set(same)) > 1:
            raise RuntimeError(f"The trainings did not make the same env steps and cycles: {same}.")
    costs: dict[str, Any] = {
        kind: {
            "milliseconds": spread([1e3 * found[kind]["seconds"] / found[kind]["env_steps"] for found in rounds]),
            "waited": spread([found[kind]["waited"] / found[kind]["seconds"] for found in rounds]),
        }
        for kind in algorithms
    }
    ratios = [found[last]["seconds"] / found[first]["seconds"] for found in rounds]
    cycles = sum(found[first]["cycles"] for found in rounds) / sum(found[first]["env_steps"] for found in rounds)
    return costs | {"ratio": spread(ratios), "cycles_per_env_step": cycles}


def measure(example: str, env_runners: int, options: Mapping[str, Any], arguments: argparse.Namespace) -> Any:
    """Compares both kinds of training of an example."""
    algorithms = {}
    try:
        for kind, overlap in KINDS.items():
            algorithms[kind] = configuration(example, env_runners, overlap, options).build_algo()
        found = compare(algorithms, arguments.steps, arguments.repeats)
    finally:
        for algorithm in algorithms.values():
            algorithm.stop()
    return {"example": example, "env_runners": env_runners} | found


def spread(values: list[float]) -> list[float]:
    """Least, median and most."""
    return [min(values), median(values), max(values)]


def table_of(results: list[dict[str, Any]]) -> Table:
    """What is printed."""
    table = Table(title="Milliseconds by env step, median (least to most)", title_justify="left")
    for heading in ("example", "env runners", *KINDS, "of it waiting for env runners", "ratio"):
        table.add_column(heading)
    for found in results:
        costs = [
            f"{middle:.2f} ({least:.2f} to {most:.2f})"
            for least, middle, most in (found[kind]["milliseconds"] for kind in KINDS)
        ]
        waited = ", ".join(f"{found[kind]['waited'][1]:.1%}" for kind in KINDS)
        least, middle, most = found["ratio"]
        ratio = f"{middle:.2f} ({least:.2f} to {most:.2f})"
        table.add_row(found["example"], str(found["env_runners"]), *costs, waited, ratio)
    return table


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", nargs="+", default=["mamba/flatland_5_agents_small"], help="of tuned_examples/")
    parser.add_argument("--env-runners", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--steps", type=int, default=5, help="steps of training of a turn")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each training")
    parser.add_argument("--threads", type=int, default=1, help="torch threads of the learner")
    parser.add_argument("--options", default='{"min_steps_before_learning": 500}', help="training options, as JSON")
    parser.add_argument("--quick", action="store_true", help="one env runner, two turns of two steps")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    return parser.parse_args()


def main() -> None:
    """Measures and prints."""
    arguments = parse()
    if arguments.quick:
        arguments.env_runners, arguments.steps, arguments.repeats = [1], 2, 2
    torch.set_num_threads(arguments.threads)
    ray.init(include_dashboard=False, log_to_driver=False, num_cpus=2 * max(arguments.env_runners) + 1)
    options, results = json.loads(arguments.options), []
    for example, env_runners in product(arguments.examples, arguments.env_runners):
        results.append(measure(example, env_runners, options, arguments))
        Console().print(table_of(results[-1:]))
    Console().print(table_of(results))
    if arguments.json:
        machine = {"cores": os.cpu_count(), "torch": torch.__version__, "load": os.getloadavg()}
        arguments.json.write_text(json.dumps({"machine": machine, "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
