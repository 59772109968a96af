"""What one stored row holds, and how it is packed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

OBSERVATION = "obs"
ACTION = "action"
REWARD = "reward"
TERMINATED = "terminated"
TRUNCATED = "truncated"
ALIVE = "alive"
LAST = "last"
ACTION_MASK = "action_mask"
COMM_MASK = "comm_mask"
STATE = "state"

Rows = dict[str, np.ndarray]

_BITS = "bits"


@dataclass(frozen=True)
class RowLayout:
    """The shape of a team's rows and their compact form.

    A row is stored as four arrays: observations (N, O) at `observation_dtype`, actions (N,) as the smallest unsigned
    integer that holds `num_actions`, rewards (N,) float32, and every boolean of the row packed to bits. A fifth holds
    the global state (S,), at `observation_dtype` too, where `state_size` S is not 0.
    """

    num_agents: int
    observation_size: int
    num_actions: int
    has_action_mask: bool
    has_comm_mask: bool
    observation_dtype: str = "float32"
    state_size: int = 0

    @classmethod
    def of(cls, rows: Mapping[str, np.ndarray], num_actions: int, observation_dtype: str) -> "RowLayout":
        """The layout that `rows` (each column (L, ...)) would be stored in."""
        _, num_agents, observation_size = rows[OBSERVATION].shape
        return cls(
            num_agents=num_agents,
            observation_size=observation_size,
            num_actions=num_actions,
            has_action_mask=ACTION_MASK in rows,
            has_comm_mask=COMM_MASK in rows,
            observation_dtype=observation_dtype,
            state_size=rows[STATE].shape[-1] if STATE in rows else 0,
        )

    def differences(self, other: "RowLayout") -> list[str]:
        """What differs between two layouts besides the number of agents, in words."""
        if replace(self, num_agents=other.num_agents) == other:
            return []
        named = {
            "observation size": (self.observation_size, other.observation_size),
            "number of actions": (self.num_actions, other.num_actions),
            "presence of an action mask": (self.has_action_mask, other.has_action_mask),
            "presence of a communication mask": (self.has_comm_mask, other.has_comm_mask),
            "size of the global state": (self.state_size, other.state_size),
        }
        return [f"{name} {own} became {new}" for name, (own, new) in named.items() if own != new]

    @property
    def raw_bytes(self) -> int:
        """Bytes of one row's bare numbers: observations, state and actions at their dtypes, 4 a reward, 1 a boolean."""
        float_size = np.dtype(self.observation_dtype).itemsize
        per_agent = self.observation_size * float_size + self._action_dtype.itemsize + 4
        return self.num_agents * per_agent + self.state_size * float_size + self._num_booleans

    def allocate(self, num_rows: int) -> Rows:
        """Uninitialised storage for `num_rows` rows."""
        agents = (num_rows, self.num_agents)
        storage = {
            OBSERVATION: np.empty((*agents, self.observation_size), self.observation_dtype),
            ACTION: np.empty(agents, self._action_dtype),
            REWARD: np.empty(agents, np.float32),
            _BITS: np.empty((num_rows, (self._num_booleans + 7) // 8), np.uint8),
        }
        if self.state_size:
            storage[STATE] = np.empty((num_rows, self.state_size), self.observation_dtype)
        return storage

    def pack(self, rows: Mapping[str, np.ndarray]) -> Rows:
        """Rows (L, ...) in their stored form.

        Raises:
            ValueError: a column is missing or has another shape than the layout's, or an action is out of range.
        """
        self._check(rows)
        booleans = [rows[name].reshape(len(rows[name]), -1).astype(bool) for name in self._boolean_shapes]
        packed = {
            OBSERVATION: rows[OBSERVATION],
            ACTION: rows[ACTION].astype(self._action_dtype),
            REWARD: rows[REWARD],
            _BITS: np.packbits(np.concatenate(booleans, axis=1), axis=1),
        }
        if self.state_size:
            packed[STATE] = rows[STATE]
        return packed

    def unpack(self, stored: Rows) -> Rows:
        """The inverse of `pack`: observations, state and rewards float32, actions int64, everything else bool."""
        rows: Rows = {
            OBSERVATION: stored[OBSERVATION].astype(np.float32, copy=False),
            ACTION: stored[ACTION].astype(np.int64),
            REWARD: stored[REWARD],
        }
        if self.state_size:
            rows[STATE] = stored[STATE].astype(np.float32, copy=False)
        bits = np.unpackbits(stored[_BITS], axis=1, count=self._num_booleans).view(np.bool_)
        begin = 0
        for name, shape in self._boolean_shapes.items():
            end = begin + int(np.prod(shape))
            rows[name] = np.ascontiguousarray(bits[:, begin:end]).reshape(len(bits), *shape)
            begin = end
        return rows

    @property
    def _action_dtype(self) -> np.dtype:
        return np.min_scalar_type(self.num_actions - 1)

    @property
    def _boolean_shapes(self) -> dict[str, tuple[int, ...]]:
        agents = (self.num_agents,)
        shapes: dict[str, tuple[int, ...]] = {LAST: (), TRUNCATED: (), ALIVE: agents, TERMINATED: agents}
        if self.has_action_mask:
            shapes[ACTION_MASK] = (self.num_agents, self.num_actions)
        if self.has_comm_mask:
            shapes[COMM_MASK] = (self.num_agents, self.num_agents)
        return shapes

    @property
    def _num_booleans(self) -> int:
        return sum(int(np.prod(shape)) for shape in self._boolean_shapes.values())

    def _check(self, rows: Mapping[str, np.ndarray]) -> None:
        agents = (self.num_agents,)
        shapes = {OBSERVATION: (*agents, self.observation_size), ACTION: agents, REWARD: agents, **self._boolean_shapes}
        if self.state_size:
            shapes[STATE] = (self.state_size,)
        length = len(rows[OBSERVATION])
        for name, shape in shapes.items():
            if name not in rows:
                raise ValueError(f"Replay rows lack the column {name!r}; expected the columns {sorted(shapes)}.")
            if rows[name].shape != (length, *shape):
                raise ValueError(
                    f"Replay column {name!r} has shape {rows[name].shape}, expected {(length, *shape)} "
                    f"for {length} rows of {self.num_agents} agents."
                )
        actions = rows[ACTION]
        if length and (actions.min() < 0 or actions.max() >= self.num_actions):
            raise ValueError(
                f"Actions must lie in 0..{self.num_actions - 1}, got values from {actions.min()} to {actions.max()}."
            )
