"""Sequences of whole teams, kept for learning a world model."""

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.utils.checkpoints import Checkpointable

from rllib_mamba.replay.episodes import chunk_to_rows, num_actions_of, with_absorbing_rows
from rllib_mamba.replay.layout import LAST, OBSERVATION, RowLayout, Rows
from rllib_mamba.replay.storage import RowStorage

_MAX_BLOCK_ROWS = 1024
_BLOCKS_AT_CAPACITY = 32


@dataclass
class _Stream:
    """An unfinished episode: the team's size, the step that comes next, and its last rows in storage."""

    num_agents: int
    next_step: int
    tail: np.ndarray


class TeamReplayBuffer(Checkpointable):
    """Windows of T steps of all N agents of a team, from a first-in first-out store of environment steps.

    - Chunks of unfinished episodes can be sampled at once. A window holds consecutive steps of one episode; past the
      end of an episode (`last`) it goes on with the first step of one that began later. Every row at which a complete
      window begins is equally likely (as in the implementation of MAMBA, arXiv 2205.15023).
    - An episode that terminated is followed by `absorbing_steps` rows, one cut by a time limit is not.
    - Teams of several sizes are kept side by side; a batch holds windows of one size, drawn in proportion to the number
      of windows there are. Everything else about a team must stay as it was when first stored.
    - Memory grows with what is stored and stays below 1.2 times the bare numbers (`RowLayout.raw_bytes`) once
      a sixth of the capacity, or 6,000 rows, is filled.

    Rows, in `sample` and `windows`, are batch first: `obs` (B, T, N, O) float32, `action` (B, T, N) int64, `reward`
    (B, T, N) float32, `terminated` and `alive` (B, T, N) bool, `last` and `truncated` (B, T) bool, and, where the
    environment has them, `action_mask` (B, T, N, A) and `comm_mask` (B, T, N, N) bool. The arrays are the caller's own.

    Args:
        capacity: rows kept in all (environment steps and absorbing rows); the oldest leave first.
        sequence_length: T, rows per window, 2 or more.
        absorbing_steps: rows appended to an episode that terminated.
        observation_dtype: "float32" or "float16"; how observations are kept (they are always sampled as float32).
        seed: of the buffer's own random generator; None for a fresh one.

    Raises:
        ValueError: an argument out of range, or a sequence length beyond the capacity.
    """

    def __init__(
        self,
        capacity: int,
        sequence_length: int,
        absorbing_steps: int = 2,
        observation_dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        if sequence_length < 2:
            raise ValueError(f"sequence_length must be at least 2, got {sequence_length}.")
        if sequence_length > capacity:
            raise ValueError(
                f"sequence_length ({sequence_length}) exceeds the replay capacity ({capacity} env steps): nothing "
                "could ever be sampled. Raise the capacity or shorten the sequences."
            )
        if absorbing_steps < 0:
            raise ValueError(f"absorbing_steps must not be negative, got {absorbing_steps}.")
        if observation_dtype not in ("float32", "float16"):
            raise ValueError(f"observation_dtype must be 'float32' or 'float16', got {observation_dtype!r}.")
        self.capacity = capacity
        self.sequence_length = sequence_length
        self.absorbing_steps = absorbing_steps
        self.observation_dtype = observation_dtype
        self._seed = seed
        self._block_rows = max(1, min(_MAX_BLOCK_ROWS, capacity // _BLOCKS_AT_CAPACITY))
        # Of numpy's generators this one has a state that msgpack can hold (no integers beyond 64 bits).
        self._generator = np.random.Generator(np.random.SFC64(seed))
        self._storages: dict[int, RowStorage] = {}
        self._streams: dict[str, _Stream] = {}
        # The order of arrival across team sizes: [number of agents, rows] of each run of rows of one size.
        self._runs: deque[list[int]] = deque()
        self._num_env_steps_added_lifetime = 0

    def __len__(self) -> int:
        """Rows stored."""
        return sum(len(storage) for storage in self._storages.values())

    @property
    def num_env_steps_added_lifetime(self) -> int:
        """Environment steps ever added, absorbing rows not counted."""
        return self._num_env_steps_added_lifetime

    @property
    def size_in_bytes(self) -> int:
        """Bytes of all arrays held."""
        return sum(storage.size_in_bytes for storage in self._storages.values())

    def can_sample(self) -> bool:
        """Whether there is at least one complete window."""
        return any(storage.num_startable for storage in self._storages.values())

    def add_episodes(self, episodes: Sequence[MultiAgentEpisode | SingleAgentEpisode], team: str | None = None) -> None:
        """Adds chunks of a team's episodes, as an env runner over a `TeamEnv` returns them.

        The chunks of one episode join without gap or repetition, whatever chunks of others lie between; a step that was
        lost on the way leaves two sequences that no window spans.

        Args:
            episodes: multi-agent chunks, of which the agent `team` is taken (where it takes part), or that team's
                single-agent chunks.
            team: the team's RLlib agent id; only needed with multi-agent chunks.

        Raises:
            ValueError: not episodes of a team, or of one that differs from what is stored in more than its size.
        """
        for episode in episodes:
            chunk = episode.agent_episodes.get(team) if isinstance(episode, MultiAgentEpisode) else episode
            if chunk is None or len(chunk) == 0:
                continue
            rows = chunk_to_rows(chunk)
            num_actions = num_actions_of(chunk)
            if chunk.is_terminated:
                rows = with_absorbing_rows(rows, self.absorbing_steps, num_actions, self._generator)
            self.add_rows(
                rows, num_actions=num_actions, stream=chunk.id_, first_step=chunk.t_started, num_env_steps=len(chunk)
            )

    def add_rows(
        self,
        rows: Mapping[str, np.ndarray],
        *,
        num_actions: int,
        stream: str,
        first_step: int = 0,
        num_env_steps: int | None = None,
    ) -> None:
        """Adds consecutive rows of one episode as they are.

        Args:
            rows: the columns of `sample`, each (L, ...) with L at least 1; `last` only on an episode's final row.
            num_actions: A, the largest number of actions of an agent.
            stream: the episode's id; rows continue those with the same id.
            first_step: the step of the episode that `rows` begins with; rows that were added before are left out.
            num_env_steps: how many of the rows are environment steps; None for all.

        Raises:
            ValueError: the rows do not fit together, or not with what is stored.
        """
        layout = RowLayout.of(rows, num_actions, self.observation_dtype)
        self._check_same_team(layout)
        packed = layout.pack(rows)
        length = len(rows[LAST])
        if rows[LAST][:-1].any():
            raise ValueError("Rows after an episode's last one: add every episode on its own.")
        num_env_steps = length if num_env_steps is None else num_env_steps

        continued = self._continue_stream(stream, first_step, layout.num_agents)
        repeated = continued.next_step - first_step
        if repeated >= num_env_steps:
            return
        self._append(layout, {name: column[repeated:] for name, column in packed.items()}, continued)
        continued.next_step = first_step + num_env_steps
        self._num_env_steps_added_lifetime += num_env_steps - repeated
        if rows[LAST][-1]:
            del self._streams[stream]
            self._storages[layout.num_agents].finished.append(continued.tail)
        self._forget_evicted()

    def sample(self, batch_size: int) -> Rows:
        """`batch_size` windows, drawn with replacement.

        Raises:
            RuntimeError: nothing to sample yet.
        """
        storages = list(self._storages.values())
        counts = np.array([storage.num_startable for storage in storages])
        if not counts.any():
            raise RuntimeError(
                f"No {self.sequence_length} consecutive steps are stored yet ({len(self)} rows in all): collect more "
                "env steps before sampling, or shorten the sequences."
            )
        storage = storages[self._generator.choice(len(storages), p=counts / counts.sum())]
        startable = storage.startable()
        return storage.windows(startable[self._generator.integers(len(startable), size=batch_size)])

    def windows(self, starts: Sequence[int] | np.ndarray, num_agents: int | None = None) -> Rows:
        """The windows that begin at given rows.

        Args:
            starts: positions (B,) in order of arrival, 0 for the oldest row stored of a team of that size.
            num_agents: the team's size; only needed where several are stored.

        Raises:
            ValueError: no such team size, or a window that is not complete.
        """
        if num_agents is None and len(self._storages) == 1:
            num_agents = next(iter(self._storages))
        if num_agents not in self._storages:
            raise ValueError(f"num_agents must be one of the stored team sizes {sorted(self._storages)}.")
        storage = self._storages[num_agents]
        rows = np.asarray(starts, np.int64) + storage.first
        complete = storage.is_startable(rows)
        if not complete.all():
            raise ValueError(
                f"No complete window of {self.sequence_length} rows begins at {np.asarray(starts)[~complete].tolist()} "
                f"({len(storage)} rows are stored)."
            )
        return storage.windows(rows)

    def get_state(
        self,
        components: str | Collection[str] | None = None,
        *,
        not_components: str | Collection[str] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """What is stored (as views, which later additions do not change), open episodes, counters, random state."""
        streams = {
            stream_id: {
                "num_agents": stream.num_agents,
                "next_step": stream.next_step,
                "last_row": int(stream.tail[-1]),
            }
            for stream_id, stream in self._streams.items()
        }
        return {
            "storages": [
                {"layout": asdict(storage.layout), **storage.get_state()} for storage in self._storages.values()
            ],
            "streams": streams,
            "runs": [list(run) for run in self._runs],
            "num_env_steps_added_lifetime": self._num_env_steps_added_lifetime,
            "generator": self._generator.bit_generator.state,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes over a saved state; capacity, sequence length and dtype stay this buffer's own."""
        self._storages = {}
        for saved in state["storages"]:
            layout = replace(RowLayout(**saved["layout"]), observation_dtype=self.observation_dtype)
            storage = RowStorage(layout, self._block_rows, self.sequence_length, first=saved["first"])
            storage.set_state(saved)
            self._storages[layout.num_agents] = storage
        self._streams = {
            stream_id: _Stream(
                num_agents=saved["num_agents"],
                next_step=saved["next_step"],
                tail=self._storages[saved["num_agents"]].tails([saved["last_row"]])[0],
            )
            for stream_id, saved in state["streams"].items()
        }
        self._runs = deque(list(run) for run in state["runs"])
        self._num_env_steps_added_lifetime = state["num_env_steps_added_lifetime"]
        self._generator.bit_generator.state = state["generator"]
        self._make_room(0)
        self._forget_evicted()

    def get_ctor_args_and_kwargs(self) -> tuple[tuple, dict[str, Any]]:
        """The constructor's arguments."""
        return (), {
            "capacity": self.capacity,
            "sequence_length": self.sequence_length,
            "absorbing_steps": self.absorbing_steps,
            "observation_dtype": self.observation_dtype,
            "seed": self._seed,
        }

    def get_metadata(self) -> dict[str, Any]:
        """RLlib's metadata and what is stored, for people to read."""
        return {
            **super().get_metadata(),
            "num_rows": len(self),
            "team_sizes": sorted(self._storages),
            "num_env_steps_added_lifetime": self._num_env_steps_added_lifetime,
        }

    def _check_same_team(self, layout: RowLayout) -> None:
        for storage in self._storages.values():
            differences = storage.layout.differences(layout)
            if differences:
                raise ValueError(
                    f"These rows do not fit the stored ones: {', '.join(differences)}. Only the number of agents may "
                    "change; pad observations and actions to a common size, or begin with an empty replay buffer."
                )

    def _continue_stream(self, stream_id: str, first_step: int, num_agents: int) -> _Stream:
        """The unfinished episode that rows from `first_step` on continue, or a new one."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.next_step < first_step or stream.num_agents != num_agents:
            tail = self._finished_tail(num_agents) if first_step == 0 else np.zeros(0, np.int64)
            stream = self._streams[stream_id] = _Stream(num_agents, first_step, tail)
        return stream

    def _finished_tail(self, num_agents: int) -> np.ndarray:
        """The end of a finished episode, for a new one to follow; of several, that of the first to finish."""
        storage = self._storages.get(num_agents)
        while storage and storage.finished:
            tail = storage.finished.popleft()
            if storage.is_stored(tail):
                return tail
        return np.zeros(0, np.int64)

    def _append(self, layout: RowLayout, packed: Rows, stream: _Stream) -> None:
        num_agents = layout.num_agents
        if num_agents not in self._storages:
            self._storages[num_agents] = RowStorage(layout, self._block_rows, self.sequence_length)
        storage = self._storages[num_agents]
        total = len(packed[OBSERVATION])
        for begin in range(0, total, self._block_rows):
            piece = {name: column[begin : begin + self._block_rows] for name, column in packed.items()}
            count = len(piece[OBSERVATION])
            self._make_room(count)
            stream.tail = storage.append(piece, stream.tail)
            if self._runs and self._runs[-1][0] == num_agents:
                self._runs[-1][1] += count
            else:
                self._runs.append([num_agents, count])

    def _make_room(self, count: int) -> None:
        """Forgets the oldest rows, of whatever team size, until `count` more fit."""
        excess = len(self) + count - self.capacity
        while excess > 0:
            run = self._runs[0]
            evicted = min(excess, run[1])
            self._storages[run[0]].evict(evicted)
            run[1] -= evicted
            excess -= evicted
            if run[1] == 0:
                self._runs.popleft()

    def _forget_evicted(self) -> None:
        """Drops team sizes and unfinished episodes of which nothing is left."""
        self._storages = {size: storage for size, storage in self._storages.items() if len(storage)}
        self._streams = {
            stream_id: stream
            for stream_id, stream in self._streams.items()
            if stream.num_agents in self._storages and self._storages[stream.num_agents].is_stored(stream.tail)
        }
