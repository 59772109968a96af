"""`rllib evaluate`: plays episodes with a checkpoint and reports returns, lengths and the environment's metrics."""

import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rllib_mamba.cli.checkpoint import CheckpointInfo
from rllib_mamba.cli.cluster import quieten
from rllib_mamba.cli.environments import environment_name
from rllib_mamba.cli.errors import CommandError, UsageError
from rllib_mamba.cli.options import EvaluateOptions
from rllib_mamba.cli.players import Played, play_episodes, prepared_checkpoint
from rllib_mamba.cli.statistics import summarise
from rllib_mamba.cli.video import check_video
from rllib_mamba.registry import register

DEFAULT_EPISODES = 10
PROGRESS_INTERVAL = 10.0


def evaluate(path: str, options: EvaluateOptions) -> int:
    """Runs `rllib evaluate`; returns the exit code.

    Raises CommandError, in one line, where the checkpoint, the environment or an option does not fit.
    """
    quieten(options.verbose)
    # Tune forgets registered names when a cluster that this process started is shut down.
    register()
    if options.render and options.num_env_runners:
        raise UsageError("--render shows the episodes of this process: leave out --num-env-runners.")
    if options.episodes is not None and options.steps is not None:
        raise UsageError("--episodes and --steps are two ways to say how long: choose one.")
    if options.video_dir is not None:
        check_video(options.video_dir)
        # Environments that draw with SDL need neither a screen nor a sound card for images.
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
        os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
    if options.out is not None:
        _check_out(options.out)
    checkpoint = prepared_checkpoint(path, options)
    played = _with_progress(play_episodes(checkpoint, path, options), options)
    report = _report(checkpoint, options, played)
    print(_table(report))
    if options.out is not None:
        options.out.write_text(json.dumps(report, indent=2) + "\n")
        print(f"written to {options.out}")
    return 0


def _with_progress(episodes: Iterable[Played], options: EvaluateOptions) -> list[Played]:
    wanted = options.steps or options.episodes or DEFAULT_EPISODES
    played: list[Played] = []
    last = time.monotonic()
    for one in episodes:
        played.append(one)
        done = sum(each.episode.length for each in played) if options.steps else len(played)
        if time.monotonic() - last > PROGRESS_INTERVAL and done < wanted:
            last = time.monotonic()
            print(f"{done} of {wanted} {'steps' if options.steps else 'episodes'}", flush=True)
        if one.video is not None:
            print(f"seed {one.episode.seed}: {one.video}", flush=True)
        if done >= wanted:
            break
    return played


def _report(checkpoint: CheckpointInfo, options: EvaluateOptions, played: list[Played]) -> dict[str, Any]:
    columns: dict[str, list[float]] = {
        "return": [one.team_return for one in played],
        "length": [float(one.episode.length) for one in played],
    }
    for one in played:
        for name, value in one.episode.metrics.items():
            columns.setdefault(name, []).append(value)
    return {
        "checkpoint": str(checkpoint.path),
        "algorithm": checkpoint.algorithm.__name__,
        "environment": environment_name(checkpoint.config),
        "greedy": options.greedy is not False,
        "seed": options.seed or 0,
        "summary": summarise(columns),
        "episodes": [
            {
                "seed": one.episode.seed,
                "return": one.team_return,
                "length": one.episode.length,
                "returns_by_agent": one.episode.returns,
                "metrics": one.episode.metrics,
            }
            for one in played
        ],
    }


def _table(report: Mapping[str, Any]) -> str:
    seeds = [episode["seed"] for episode in report["episodes"]]
    how = "greedy" if report["greedy"] else "sampled"
    which = f"1 episode, {how}, seed {seeds[0]}"
    if len(seeds) > 1:
        which = f"{len(seeds)} episodes, {how}, seeds {seeds[0]} to {seeds[-1]}"
    head = f"{report['algorithm']} on {report['environment']}: {which}"
    rows = [("", "mean", "95 % interval", "min", "max")]
    for name, row in report["summary"].items():
        interval = f"[{row['low']:.4g}, {row['high']:.4g}]"
        rows.append((name, f"{row['mean']:.4g}", interval, f"{row['min']:.4g}", f"{row['max']:.4g}"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        row[0].ljust(widths[0])
        + "".join("  " + cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in rows
    ]
    return "\n".join([head, *lines])


def _check_out(out: Path) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("a"):
            pass
    except OSError as error:
        raise CommandError(f"--out: {out} cannot be written ({error.strerror}).") from error
