"""How costs grow: updates and env steps by number of agents, sequence length and batch; replay by what it holds.

    python benchmarks/scaling.py --quick
    python benchmarks/scaling.py --json scaling.json --picture scaling.png

Hidden size 256, 30 observations, 9 actions with masks, the options of the preset `paper`, CPU seconds of one torch
thread. A cost per agent that stays the same is a flat line. The picture needs the extra `reports`.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from acting import configuration, measure_local
from learner_programs import OurProgram
from learner_sizes import Sizes, random_batch
from replay import CHUNK_LENGTH, SEQUENCE_LENGTH, episode_chunks
from rich.console import Console
from rich.table import Table

from rllib_mamba.replay import TeamReplayBuffer

BASE = Sizes(
    agents=8, observation=30, actions=9, action_masks=True, sequence=12, batch=16, horizon=6, epochs=1, minibatch=256
)
GROWTH = {"agents": (2, 8, 32, 128), "sequence": (12, 24, 48), "batch": (16, 32, 64)}
LABELS = {"agents": "agents", "sequence": "steps of a sequence", "batch": "sequences of a batch"}
PARTS = {"world model": ("world_model", "total"), "imagination": ("agent", "imagination"), "agent": ("agent", "total")}
ENVIRONMENTS = 8


def update_costs(sizes: Sizes, repeats: int) -> dict[str, list[float]]:
    """Least, median and most CPU seconds of the parts of an update, after one that does not count."""
    program = OurProgram(sizes, {})
    runs: dict[str, list[float]] = {part: [] for part in PARTS}
    for repeat in range(repeats + 1):
        batch = random_batch(sizes, seed=repeat)
        found = {phase: program.update(phase, batch) for phase in ("world_model", "agent")}
        if repeat:
            for part, (phase, name) in PARTS.items():
                runs[part].append(found[phase][name][1])
    return {part: [min(seconds), median(seconds), max(seconds)] for part, seconds in runs.items()}


def update_growth(growth: dict[str, tuple[int, ...]], repeats: int) -> Iterator[dict[str, Any]]:
    """Costs of updates along one size after the other."""
    for name, values in growth.items():
        for value in values:
            costs = update_costs(replace(BASE, **{name: value}), repeats)
            yield {"along": name, "value": value, "seconds": costs}


def acting_growth(agents: tuple[int, ...], seconds: float, repeats: int) -> Iterator[dict[str, Any]]:
    """CPU seconds of an env step, the mean over the environments of an env runner, by number of agents."""
    for count in agents:
        measured = measure_local(configuration(count, ENVIRONMENTS, 0, {"hidden_size": 256}), seconds, repeats)
        costs = sorted(1 / rate for rate in measured["steps_per_second"])
        yield {"along": "agents", "value": count, "seconds": {"env step": costs}}


def replay_growth(capacity: int, points: int) -> Iterator[dict[str, float]]:
    """Bytes of a replay buffer as it fills, with the rows that it holds."""
    buffer = TeamReplayBuffer(capacity, SEQUENCE_LENGTH, seed=0)
    generator, chunks, episode = np.random.default_rng(0), iter(()), 0
    for point in range(1, points + 1):
        while buffer.num_env_steps_added_lifetime + CHUNK_LENGTH <= capacity * point * 1.25 / points:
            chunk = next(chunks, None)
            if chunk is None:
                episode += 1
                chunks = episode_chunks(episode, generator)
                chunk = next(chunks)
            buffer.add_episodes([chunk])
        added = buffer.num_env_steps_added_lifetime
        yield {"added": added, "rows": len(buffer), "bytes": buffer.size_in_bytes, "capacity": capacity}


def tables(results: dict[str, list[dict[str, Any]]]) -> Iterator[Table]:
    """What is printed."""
    costs = Table(title="CPU milliseconds, median (least to most); per agent", title_justify="left")
    for heading in ("along", "value", "part", "in all", "per agent"):
        costs.add_column(heading)
    for found in results["costs"]:
        agents = found["value"] if found["along"] == "agents" else BASE.agents
        for part, (least, middle, most) in found["seconds"].items():
            shown = f"{middle * 1e3:.1f} ({least * 1e3:.1f} to {most * 1e3:.1f})"
            costs.add_row(found["along"], str(found["value"]), part, shown, f"{middle / agents * 1e3:.2f}")
    yield costs
    memory = Table(title="Replay", title_justify="left")
    for heading in ("env steps added", "rows held", "MB", "bytes a row"):
        memory.add_column(heading)
    for point in results["replay"]:
        per_row = f"{point['bytes'] / point['rows']:.0f}"
        memory.add_row(str(point["added"]), str(point["rows"]), f"{point['bytes'] / 1e6:.1f}", per_row)
    yield memory


def draw(results: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Writes the picture: a panel for each size that grows, and one for replay."""
    import matplotlib.pyplot as plt

    from rllib_mamba.reports.style import GREY, MARKERS, SETTINGS, colours

    drawn = (*PARTS, "env step")
    palette, markers = colours(drawn), dict(zip(drawn, MARKERS, strict=False))
    with plt.rc_context(SETTINGS):
        figure, axes = plt.subplots(1, len(GROWTH) + 1, figsize=(13, 3), layout="constrained")
        for panel, along in zip(axes, GROWTH, strict=False):
            for part in drawn:
                points = [f for f in results["costs"] if f["along"] == along and part in f["seconds"]]
                if not points:
                    continue
                values = [found["value"] for found in points]
                per_item = [found["seconds"][part][1] / found["value"] for found in points]
                relative = [cost / per_item[-1] for cost in per_item]
                panel.plot(values, relative, color=palette[part], marker=markers[part], label=part)
            values = sorted({found["value"] for found in results["costs"] if found["along"] == along})
            panel.set_xscale("log", base=2)
            panel.set_xticks(values, [str(value) for value in values])
            panel.set(xlabel=LABELS[along], ylabel="time for each (rightmost: 1)", ylim=(0, None))
        axes[0].legend()
        rows = results["replay"]
        filled = [point["bytes"] / 1e6 for point in rows]
        axes[-1].plot([point["added"] for point in rows], filled, color=GREY, marker=MARKERS[0])
        axes[-1].set(xlabel="env steps added", ylabel="MB of replay", ylim=(0, None))
        figure.savefig(path, dpi=120)
        plt.close(figure)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="measured updates")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement of acting")
    parser.add_argument("--capacity", type=int, default=20_000, help="rows of the replay buffer that is filled")
    parser.add_argument("--quick", action="store_true", help="8 and 32 agents, nothing else grows; one update each")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--picture", type=Path, help="file to draw the figures into")
    return parser.parse_args()


def main() -> None:
    """Measures, prints and draws."""
    arguments = parse()
    torch.set_num_threads(1)
    growth = GROWTH
    if arguments.quick:
        growth = {"agents": (8, 32)}
        arguments.repeats, arguments.seconds, arguments.capacity = 1, 0.2, 2_000
    results: dict[str, list[dict[str, Any]]] = {
        "costs": [
            *update_growth(growth, arguments.repeats),
            *acting_growth(growth["agents"], arguments.seconds, arguments.repeats),
        ],
        "replay": list(replay_growth(arguments.capacity, points=5)),
    }
    console = Console()
    for table in tables(results):
        console.print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    if arguments.picture:
        draw(results, arguments.picture)


if __name__ == "__main__":
    main()
