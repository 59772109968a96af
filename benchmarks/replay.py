"""What the replay buffer costs: sampling, adding, memory, checkpoints.

    python benchmarks/replay.py [--rows 50000] [--envs 4] [--out replay.json]

Prints a table and, with --out, writes it as JSON. The batch is that of MAMBA on Flatland with five trains: 40 windows
of 50 steps, 5 agents, 205 observations each.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from gymnasium.spaces import MultiDiscrete
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from rich.console import Console
from rich.table import Table

from rllib_mamba.replay import TeamReplayBuffer
from rllib_mamba.replay.layout import RowLayout

BATCH_SIZE, SEQUENCE_LENGTH, NUM_AGENTS, OBSERVATION_SIZE, NUM_ACTIONS = 40, 50, 5, 205, 3
CHUNK_LENGTH = 25
EPISODE_LENGTH = 500


def episode_chunks(episode: int, generator: np.random.Generator) -> Iterator[SingleAgentEpisode]:
    """The chunks of a team episode of random numbers, as an env runner returns them."""
    for begin in range(0, EPISODE_LENGTH, CHUNK_LENGTH):
        observations = [
            {
                "obs": generator.standard_normal((NUM_AGENTS, OBSERVATION_SIZE), np.float32),
                "alive": np.ones(NUM_AGENTS, np.int8),
                "ended": np.zeros(NUM_AGENTS, np.int8),
                "rewards": np.zeros(NUM_AGENTS, np.float32),
                "comm_mask": np.ones((NUM_AGENTS, NUM_AGENTS), np.int8),
            }
            for _ in range(CHUNK_LENGTH + 1)
        ]
        chunk = SingleAgentEpisode(
            id_=str(episode),
            observations=observations,
            actions=list(generator.integers(NUM_ACTIONS, size=(CHUNK_LENGTH, NUM_AGENTS))),
            rewards=[0.0] * CHUNK_LENGTH,
            action_space=MultiDiscrete([NUM_ACTIONS] * NUM_AGENTS),
            truncated=begin + CHUNK_LENGTH == EPISODE_LENGTH,
            t_started=begin,
            len_lookback_buffer=0,
        )
        yield chunk.to_numpy()


def fill(buffer: TeamReplayBuffer, num_envs: int) -> float:
    """Fills the buffer from environments whose chunks arrive in turn; returns seconds spent adding."""
    generator = np.random.default_rng(0)
    environments: list[Iterator[SingleAgentEpisode]] = [iter(()) for _ in range(num_envs)]
    seconds, episode = 0.0, 0
    while buffer.num_env_steps_added_lifetime < buffer.capacity:
        for index, environment in enumerate(environments):
            chunk = next(environment, None)
            if chunk is None:
                episode += 1
                environments[index] = episode_chunks(episode, generator)
                chunk = next(environments[index])
            begin = time.perf_counter()
            buffer.add_episodes([chunk])
            seconds += time.perf_counter() - begin
    return seconds


def timed(function: Callable[[], object], repeats: int) -> list[float]:
    """Seconds of each of `repeats` calls, after one that does not count."""
    function()
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - begin)
    return seconds


def measure(rows: int, num_envs: int, observation_dtype: str) -> dict[str, float]:
    """All figures for a full buffer of `rows` rows."""
    buffer = TeamReplayBuffer(rows, SEQUENCE_LENGTH, observation_dtype=observation_dtype, seed=0)
    add_seconds = fill(buffer, num_envs)
    sampling = timed(lambda: buffer.sample(BATCH_SIZE), repeats=100)
    layout = RowLayout(NUM_AGENTS, OBSERVATION_SIZE, NUM_ACTIONS, False, True, observation_dtype)
    with tempfile.TemporaryDirectory() as folder:
        saving = timed(lambda: buffer.save_to_path(folder), repeats=1)
        restoring = timed(lambda: TeamReplayBuffer.from_checkpoint(folder), repeats=1)
        checkpoint_bytes = sum(file.stat().st_size for file in Path(folder).iterdir())
    return {
        "sampling: ms, median": 1e3 * float(np.median(sampling)),
        "sampling: ms, 95th percentile": 1e3 * float(np.quantile(sampling, 0.95)),
        "adding: ms per env step": 1e3 * add_seconds / buffer.num_env_steps_added_lifetime,
        "bytes per step": buffer.size_in_bytes / len(buffer),
        "bytes relative to bare numbers": buffer.size_in_bytes / len(buffer) / layout.raw_bytes,
        "checkpoint: seconds to save": saving[0],
        "checkpoint: seconds to restore": restoring[0],
        "checkpoint: MB": checkpoint_bytes / 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000, help="capacity of the buffer, which is filled")
    parser.add_argument("--envs", type=int, default=4, help="environments whose chunks of 25 steps arrive in turn")
    parser.add_argument("--out", type=Path, help="file to write the figures to, as JSON")
    arguments = parser.parse_args()

    results = {dtype: measure(arguments.rows, arguments.envs, dtype) for dtype in ("float32", "float16")}
    shape = (BATCH_SIZE, SEQUENCE_LENGTH, NUM_AGENTS, OBSERVATION_SIZE)
    table = Table(title=f"Replay: batch {shape}, {arguments.rows} rows, {arguments.envs} environments")
    for heading in ("", *results):
        table.add_column(heading, justify="left" if not heading else "right")
    for name in results["float32"]:
        table.add_row(name, *(f"{figures[name]:.3f}" for figures in results.values()))
    Console().print(table)
    if arguments.out:
        settings = {"batch": shape, "rows": arguments.rows, "envs": arguments.envs}
        arguments.out.write_text(json.dumps({"settings": settings, "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
