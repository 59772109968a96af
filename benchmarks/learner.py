"""What MAMBA's updates cost: seconds by phase, operations a second, memory, and the original program beside ours.

    python benchmarks/learner.py --quick
    python benchmarks/learner.py --sizes a b c --mixed-precision --reference CHECKOUT --json learner.json

One world-model update and one agent update (imagination, then five epochs of PPO) on a batch of random numbers, through
the learner that trains: the RLlib learner with the preset `paper`. `--reference` takes a checkout of jbr-ai-labs/mamba
and times its learner on the same batches, in turn with ours; `--mixed-precision` ours with products in bfloat16, too.
Sizes, see `learner_sizes.py`:

    a: hidden 256, 5 agents, 205 observations, 3 actions, sequences of 50 steps, 40 of them, horizon 15
    b: hidden 256, 3 agents, 30 observations, 9 actions, action masks, sequences of 20
    c: hidden 400, recurrent state 600, 10 agents, otherwise as a

Ratios are of medians; on a busy machine those of CPU time are the more trustworthy ones. "Needed" operations come from
a formula, whatever is really computed; the peak is that of square float32 matrix products, measured in between.
Memory is what an update adds to the resident set at its worst, in a process of its own.
"""

import argparse
import gc
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from figures import spread
from learner_programs import OurProgram, Program, ReferenceProgram, Seconds
from learner_sizes import SIZES, needed_operations, random_batch
from rich.console import Console
from rich.table import Table

from rllib_mamba.world_model.linear import linear

OURS, MIXED, REFERENCE = "ours", "ours, bfloat16", "reference"
PRODUCTS = {OURS: "float32", MIXED: "bfloat16"}
PHASES = ("world_model", "agent")
NEEDED_BY_PHASE = {
    "world_model": ("world model",),
    "agent": ("start states", "imagination", "returns", "PPO epochs"),
}


def make_program(name: str, size: str, arguments: argparse.Namespace) -> Program:
    """A program at a size."""
    torch.manual_seed(0)
    if name == REFERENCE:
        return ReferenceProgram(SIZES[size], arguments.reference.resolve())
    return OurProgram(SIZES[size], json.loads(arguments.options) | {"mixed_precision": name == MIXED})


def matrix_peak(dtype: torch.dtype) -> tuple[float, float]:
    """Operations a second, by the clock and by CPU time of all threads, of matrix products: the best of several."""
    size = 1536
    left, right = (torch.randn(size, size).to(dtype) for _ in range(2))
    best_wall = best_cpu = float("inf")
    for _ in range(4):
        # The one of torch's two libraries, and then the other where there is a choice.
        for product in (torch.mm, linear):
            wall, cpu = time.perf_counter(), time.process_time()
            product(left, right)
            best_wall = min(best_wall, time.perf_counter() - wall)
            best_cpu = min(best_cpu, time.process_time() - cpu)
    return 2 * size**3 / best_wall, 2 * size**3 / best_cpu


def measure_memory(name: str, size: str, phase: str, arguments: argparse.Namespace) -> float:
    """Bytes that one update adds to the resident set at its worst, measured in a child."""
    command = [sys.executable, __file__, "--memory-of", name, size, phase, "--threads", str(arguments.threads)]
    command += ["--options", arguments.options]
    if arguments.reference:
        command += ["--reference", str(arguments.reference)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def print_memory(name: str, size: str, phase: str, arguments: argparse.Namespace) -> None:
    """The child's part of `measure_memory`."""
    program, batch = make_program(name, size, arguments), random_batch(SIZES[size], seed=0)
    gc.collect()
    # From here on the kernel keeps the peak anew; that of `getrusage` would begin with the parent's.
    Path("/proc/self/clear_refs").write_text("5")
    before = resident_bytes("VmRSS")
    program.update(phase, batch)
    print(resident_bytes("VmHWM") - before)


def resident_bytes(name: str) -> int:
    """Of this process's resident set: its present size (`VmRSS`) or its peak (`VmHWM`)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def measure(size: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """All figures of one size."""
    names = [OURS, *([MIXED] if arguments.mixed_precision else []), *([REFERENCE] if arguments.reference else [])]
    programs = {name: make_program(name, size, arguments) for name in names}
    runs: dict[str, dict[str, list[Seconds]]] = {phase: {name: [] for name in names} for phase in PHASES}
    peaks: dict[str, list[tuple[float, float]]] = {"float32": [], "bfloat16": []}
    for repeat in range(-1, arguments.repeats):
        batch = random_batch(SIZES[size], seed=repeat + 1)
        for phase in PHASES:
            for name, program in programs.items():
                if repeat < 0 and size != "quick" and (phase == "agent" or name == REFERENCE):
                    continue  # A first one for what is done once only; at these sizes it vanishes in the others.
                seconds = program.update(phase, batch)
                if repeat >= 0:
                    runs[phase][name].append(seconds)
        for dtype, found in peaks.items():
            found.append(matrix_peak(getattr(torch, dtype)))
    memory = {}
    if not arguments.no_memory:
        memory = {p: {name: measure_memory(name, size, p, arguments) for name in names} for p in PHASES}
    return {
        "sizes": vars(SIZES[size]),
        "seconds": {p: {n: summary(found) for n, found in of.items()} for p, of in runs.items()},
        "needed_operations": needed_operations(SIZES[size]),
        "matrix_peak": {
            dtype: {"wall": max(wall for wall, _ in found), "cpu": max(cpu for _, cpu in found)}
            for dtype, found in peaks.items()
        },
        "memory_bytes": memory,
    }


def summary(runs: list[Seconds]) -> dict[str, dict[str, list[float]]]:
    """By part: least, median and most, of wall and of CPU seconds."""
    return {
        part: {kind: spread([run[part][index] for run in runs]) for index, kind in enumerate(("wall", "cpu"))}
        for part in runs[0]
    }


def tables(size: str, found: dict[str, Any]) -> list[Table]:
    """What is printed of one size."""
    times = Table(title=f"Size {size}: seconds, median (least to most)", title_justify="left")
    for heading in ("phase", "part", "program", "by the clock", "CPU time"):
        times.add_column(heading)
    for phase, programs in found["seconds"].items():
        for name, parts in programs.items():
            for part, kinds in parts.items():
                shown = [f"{kinds[kind][1]:.2f} ({kinds[kind][0]:.2f} to {kinds[kind][2]:.2f})" for kind in kinds]
                times.add_row(phase, part, name, *shown)
    return [times, rate_table(size, found), *ratio_tables(size, found)]


def rate_table(size: str, found: dict[str, Any]) -> Table:
    """Operations a second and memory of each program, against the peak of products in its number format."""
    table = Table(title=f"Size {size}: needed operations, and memory", title_justify="left")
    for heading in ("phase", "program", "needed GFLOP", "GFLOP/s", "of the peak", "by CPU time", "MB"):
        table.add_column(heading)
    for phase, parts in NEEDED_BY_PHASE.items():
        needed = sum(found["needed_operations"][part] for part in parts)
        for name, seconds in found["seconds"][phase].items():
            total, peak = seconds["total"], found["matrix_peak"][PRODUCTS.get(name, "float32")]
            memory = found["memory_bytes"].get(phase, {})
            table.add_row(
                phase,
                name,
                f"{needed / 1e9:.0f}",
                f"{needed / total['wall'][1] / 1e9:.0f}",
                f"{needed / total['wall'][1] / peak['wall']:.2f}",
                f"{needed / total['cpu'][1] / peak['cpu']:.2f}",
                f"{memory[name] / 1e6:.0f}" if memory else "-",
            )
    return table


def ratio_tables(size: str, found: dict[str, Any]) -> list[Table]:
    """How many times the seconds and bytes of ours the original takes, where it was measured."""
    seconds = found["seconds"]
    if REFERENCE not in seconds["agent"]:
        return []
    table = Table(title=f"Size {size}: the original takes so many times ours", title_justify="left")
    for heading in ("program", "", *PHASES, "both"):
        table.add_column(heading)
    for ours in (name for name in seconds["agent"] if name != REFERENCE):
        for kind, label in (("wall", "by the clock"), ("cpu", "CPU time")):
            pairs = [tuple(seconds[phase][name]["total"][kind][1] for name in (REFERENCE, ours)) for phase in PHASES]
            pairs.append(tuple(map(sum, zip(*pairs, strict=True))))
            table.add_row(ours, label, *(f"{theirs / our:.2f}" for theirs, our in pairs))
        memory = found["memory_bytes"]
        if memory:
            pairs = [(memory[phase][REFERENCE], memory[phase][ours]) for phase in PHASES]
            pairs.append(tuple(map(max, zip(*pairs, strict=True))))
            table.add_row(ours, "peak memory", *(f"{theirs / our:.2f}" for theirs, our in pairs))
    return [table]


def processor() -> str:
    """The processor's name."""
    information = Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in information.read_text().splitlines() if "model name" in line]
    return names[0] if names else platform.processor()


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["a", "b", "c"])
    parser.add_argument("--quick", action="store_true", help="a small size, in less than a minute")
    parser.add_argument("--repeats", type=int, default=3, help="measured updates of each phase")
    parser.add_argument("--threads", type=int, default=2, help="torch threads")
    parser.add_argument("--reference", type=Path, help="a checkout of jbr-ai-labs/mamba, timed in turn with ours")
    parser.add_argument("--mixed-precision", action="store_true", help="ours with products in bfloat16, too")
    parser.add_argument("--options", default="{}", help="MAMBA options of ours, as JSON, on top of the preset paper")
    parser.add_argument("--no-memory", action="store_true", help="leave out the children that measure memory")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--memory-of", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measures and prints."""
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    if arguments.memory_of:
        print_memory(*arguments.memory_of, arguments)
        return
    machine = {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": arguments.threads,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "load": os.getloadavg(),
        "options": json.loads(arguments.options),
    }
    console = Console()
    console.print(", ".join(f"{name} {value}" for name, value in machine.items()))
    results: dict[str, Any] = {}
    for size in ["quick"] if arguments.quick else arguments.sizes:
        results[size] = measure(size, arguments)
        for table in tables(size, results[size]):
            console.print(table)
        peaks = results[size]["matrix_peak"].items()
        console.print(*(f"peak {dtype}: {peak['wall'] / 1e9:.0f} GFLOP/s;" for dtype, peak in peaks))
        if arguments.json:
            arguments.json.write_text(json.dumps({"machine": machine, "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
