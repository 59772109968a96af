"""Whole episodes of teams, kept for learning from returns and recurrent states that begin with an episode."""

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.utils.checkpoints import Checkpointable

from rllib_mamba.replay.episodes import chunk_to_rows, num_actions_of, with_final_row
from rllib_mamba.replay.layout import ACTION_MASK, OBSERVATION, STATE, RowLayout, Rows

FILLED = "filled"
"""(B, T + 1) bool: steps that were taken; not the final observation, and not what pads an episode."""


@dataclass
class _OpenEpisode:
    """The packed chunks of an episode that goes on, the step that comes next, and when it was last heard of."""

    next_step: int = 0
    chunks: list[Rows] = field(default_factory=list)
    episodes_added: int = 0


class TeamEpisodeReplayBuffer(Checkpointable):
    """Finished episodes of a team, whole, from a first-in first-out store.

    Chunks of an episode are joined until it ends; until then it cannot be sampled. An episode of which a chunk is
    missing is dropped. Every episode is equally likely to be sampled, none twice in a batch (as in the implementation
    of QMIX, arXiv 1803.11485).

    A batch, in `sample`, holds B episodes of up to T steps, the T of the longest, and the observation that each ended
    with: `obs` (B, T + 1, N, O) float32, `alive` (B, T + 1, N) bool, where the environment has them `state`
    (B, T + 1, S) float32 and `action_mask` (B, T + 1, N, A) bool; `action` (B, T + 1, N) int64, `reward` (B, T + 1, N)
    float32, `terminated` (B, T + 1, N) bool, `last` and `truncated` (B, T + 1) bool, as in `TeamReplayBuffer`, and
    `filled` (B, T + 1) bool, which is true at steps that were taken. Beyond its final observation an episode is padded
    with zeros.

    Args:
        capacity_episodes: episodes kept; the oldest leave first.
        capacity_env_steps: env steps kept in all; None for no limit.
        observation_dtype: "float32" or "float16"; how observations and state are kept (always sampled as float32).
        seed: of the buffer's own random generator; None for a fresh one.

    Raises:
        ValueError: an argument out of range.
    """

    def __init__(
        self,
        capacity_episodes: int,
        capacity_env_steps: int | None = None,
        observation_dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        if capacity_episodes < 1:
            raise ValueError(f"capacity_episodes must be at least 1, got {capacity_episodes}.")
        if capacity_env_steps is not None and capacity_env_steps < 1:
            raise ValueError(f"capacity_env_steps must be at least 1 or None, got {capacity_env_steps}.")
        if observation_dtype not in ("float32", "float16"):
            raise ValueError(f"observation_dtype must be 'float32' or 'float16', got {observation_dtype!r}.")
        self.capacity_episodes = capacity_episodes
        self.capacity_env_steps = capacity_env_steps
        self.observation_dtype = observation_dtype
        self._seed = seed
        # Of numpy's generators this one has a state that msgpack can hold (no integers beyond 64 bits).
        self._generator = np.random.Generator(np.random.SFC64(seed))
        self._layout: RowLayout | None = None
        self._episodes: deque[Rows] = deque()
        self._open: dict[str, _OpenEpisode] = {}
        self._num_env_steps = 0
        self._size_in_bytes = 0
        self._num_episodes_added_lifetime = 0
        self._num_env_steps_added_lifetime = 0

    def __len__(self) -> int:
        """Env steps of the finished episodes stored."""
        return self._num_env_steps

    @property
    def num_episodes(self) -> int:
        """Finished episodes stored."""
        return len(self._episodes)

    @property
    def num_env_steps_added_lifetime(self) -> int:
        """Env steps ever added, those of episodes that go on included."""
        return self._num_env_steps_added_lifetime

    @property
    def size_in_bytes(self) -> int:
        """Bytes of all arrays of finished episodes."""
        return self._size_in_bytes

    def can_sample(self, batch_size: int = 1) -> bool:
        """Whether there are `batch_size` finished episodes."""
        return len(self._episodes) >= batch_size

    def add_episodes(self, episodes: Sequence[MultiAgentEpisode | SingleAgentEpisode], team: str | None = None) -> None:
        """Adds chunks of a team's episodes, as an env runner over a `TeamEnv` returns them.

        Args:
            episodes: multi-agent chunks, of which the agent `team` is taken (where it takes part), or that team's
                single-agent chunks.
            team: the team's RLlib agent id; only needed with multi-agent chunks.

        Raises:
            ValueError: not episodes of a team, of one that differs from what is stored, or one longer than
                `capacity_env_steps`.
        """
        for episode in episodes:
            chunk = episode.agent_episodes.get(team) if isinstance(episode, MultiAgentEpisode) else episode
            if chunk is not None and len(chunk):
                self._add_chunk(chunk)

    def _add_chunk(self, chunk: SingleAgentEpisode) -> None:
        opened = self._open.get(chunk.id_)
        if opened is None:
            if chunk.t_started:
                # Its beginning was lost, or was there before a checkpoint was restored.
                return
            opened = self._open[chunk.id_] = _OpenEpisode()
        if chunk.t_started != opened.next_step:
            del self._open[chunk.id_]
            return
        rows = chunk_to_rows(chunk, optional=(ACTION_MASK, STATE))
        if chunk.is_done:
            rows = with_final_row(rows, chunk)
        opened.chunks.append(self._pack(rows, num_actions_of(chunk)))
        opened.next_step += len(chunk)
        opened.episodes_added = self._num_episodes_added_lifetime
        self._num_env_steps_added_lifetime += len(chunk)
        if self.capacity_env_steps is not None and opened.next_step > self.capacity_env_steps:
            raise ValueError(
                f"An episode has {opened.next_step} env steps or more, but the replay holds {self.capacity_env_steps}, "
                "and learns from whole episodes. End episodes sooner (a time limit), or enlarge the replay."
            )
        if chunk.is_done:
            self._finish(self._open.pop(chunk.id_))

    def _pack(self, rows: Rows, num_actions: int) -> Rows:
        layout = RowLayout.of(rows, num_actions, self.observation_dtype)
        if self._layout is None:
            self._layout = layout
        differences = self._layout.differences(layout)
        if self._layout.num_agents != layout.num_agents:
            differences.append(f"number of agents {self._layout.num_agents} became {layout.num_agents}")
        if differences:
            raise ValueError(
                f"These episodes do not fit the stored ones: {', '.join(differences)}. Begin with an empty replay "
                "buffer."
            )
        packed = layout.pack(rows)
        # In a copy of its own: what was packed may be a view of a chunk that holds more.
        storage = layout.allocate(len(rows[OBSERVATION]))
        for name, column in storage.items():
            column[:] = packed[name]
        return storage

    def _finish(self, opened: _OpenEpisode) -> None:
        chunks = opened.chunks
        episode = chunks[0] if len(chunks) == 1 else _concatenated(chunks)
        self._store(episode)
        self._num_episodes_added_lifetime += 1
        # An env runner that was restarted does not go on with its episodes.
        oldest = self._num_episodes_added_lifetime - self.capacity_episodes
        self._open = {name: other for name, other in self._open.items() if other.episodes_added >= oldest}

    def _store(self, episode: Rows) -> None:
        self._episodes.append(episode)
        self._num_env_steps += _num_steps(episode)
        self._size_in_bytes += _num_bytes(episode)
        while len(self._episodes) > self.capacity_episodes or (
            self.capacity_env_steps is not None and self._num_env_steps > self.capacity_env_steps
        ):
            left = self._episodes.popleft()
            self._num_env_steps -= _num_steps(left)
            self._size_in_bytes -= _num_bytes(left)

    def sample(self, batch_size: int) -> Rows:
        """`batch_size` episodes, drawn without replacement; see the class for their columns.

        Raises:
            RuntimeError: there are not as many.
        """
        if not self.can_sample(batch_size):
            raise RuntimeError(
                f"{batch_size} episodes are asked for and {len(self._episodes)} are stored: finish more episodes "
                "before sampling, or ask for fewer."
            )
        chosen = self._generator.choice(len(self._episodes), size=batch_size, replace=False)
        return self.batch([int(index) for index in chosen])

    def batch(self, episodes: Sequence[int]) -> Rows:
        """The episodes at the given positions, 0 for the oldest, as `sample` gives them.

        Raises:
            IndexError: there is none at a position.
        """
        assert self._layout is not None
        chosen = [self._episodes[index] for index in episodes]
        lengths = np.array([_num_steps(episode) for episode in chosen])
        shape = (len(chosen), int(lengths.max()) + 1)
        joined = self._layout.allocate(shape[0] * shape[1])
        for name, column in joined.items():
            rows = column.reshape(*shape, *column.shape[1:])
            for index, (episode, length) in enumerate(zip(chosen, lengths, strict=True)):
                rows[index, : length + 1] = episode[name]
                rows[index, length + 1 :] = 0
        result = {
            name: column.reshape(*shape, *column.shape[1:]) for name, column in self._layout.unpack(joined).items()
        }
        return {**result, FILLED: np.arange(shape[1]) < lengths[:, None]}

    def get_state(
        self,
        components: str | Collection[str] | None = None,
        *,
        not_components: str | Collection[str] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """The finished episodes (their arrays never change), counters and random state.

        Episodes that go on are left out: a restored run begins new ones.
        """
        return {
            "layout": None if self._layout is None else asdict(self._layout),
            "episodes": list(self._episodes),
            "num_episodes_added_lifetime": self._num_episodes_added_lifetime,
            "num_env_steps_added_lifetime": self._num_env_steps_added_lifetime,
            "generator": self._generator.bit_generator.state,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes over a saved state; capacity and dtype stay this buffer's own."""
        self._layout = None
        if state["layout"] is not None:
            self._layout = replace(RowLayout(**state["layout"]), observation_dtype=self.observation_dtype)
        self._open = {}
        self._episodes = deque()
        self._num_env_steps = self._size_in_bytes = 0
        for episode in state["episodes"]:
            assert self._layout is not None
            storage = self._layout.allocate(len(episode[OBSERVATION]))
            self._store({name: np.asarray(episode[name]).astype(storage[name].dtype, copy=False) for name in storage})
        self._num_episodes_added_lifetime = state["num_episodes_added_lifetime"]
        self._num_env_steps_added_lifetime = state["num_env_steps_added_lifetime"]
        self._generator.bit_generator.state = state["generator"]

    def get_ctor_args_and_kwargs(self) -> tuple[tuple, dict[str, Any]]:
        """The constructor's arguments."""
        return (), {
            "capacity_episodes": self.capacity_episodes,
            "capacity_env_steps": self.capacity_env_steps,
            "observation_dtype": self.observation_dtype,
            "seed": self._seed,
        }

    def get_metadata(self) -> dict[str, Any]:
        """RLlib's metadata and what is stored, for people to read."""
        return {
            **super().get_metadata(),
            "num_episodes": self.num_episodes,
            "num_env_steps": len(self),
            "num_env_steps_added_lifetime": self._num_env_steps_added_lifetime,
        }


def _concatenated(chunks: list[Rows]) -> Rows:
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def _num_steps(episode: Rows) -> int:
    """Env steps of a packed episode, whose last row is the final observation."""
    return len(episode[OBSERVATION]) - 1


def _num_bytes(episode: Rows) -> int:
    return sum(column.nbytes for column in episode.values())
