"""Rows of teams of one size, in order of arrival, linked into sequences."""

from collections import deque
from itertools import pairwise
from typing import Any

import numpy as np

from rllib_mamba.replay.layout import RowLayout, Rows


class RowStorage:
    """A first-in first-out store of rows, each of which knows the row that follows it in its environment.

    Chunks of several environments arrive interleaved, so consecutive rows of one environment need not lie side by side.
    A row therefore keeps the distance to its successor, and a window of `sequence_length` rows follows these links from
    its first row. As a successor always arrives later and the oldest rows leave first, a window whose first row is
    stored is stored entirely.

    Rows have numbers, counted from the first ever stored: `first` is the oldest one left, `end` the next to come. They
    lie in blocks of `block_rows`, which are filled once and dropped once; memory follows what is stored, and the filled
    part of a block never changes.
    """

    def __init__(self, layout: RowLayout, block_rows: int, sequence_length: int, first: int = 0) -> None:
        self.layout = layout
        self.first = first
        self.end = first
        # Final rows (with those before them) of finished episodes that no other episode follows yet.
        self.finished: deque[np.ndarray] = deque()
        self._block_rows = block_rows
        self._sequence_length = sequence_length
        self._base = first
        self._blocks: list[Rows] = []
        self._successor = np.zeros(0, np.int32)
        self._startable = np.zeros(0, bool)

    def __len__(self) -> int:
        return self.end - self.first

    @property
    def size_in_bytes(self) -> int:
        """Bytes of all arrays held."""
        columns = sum(column.nbytes for block in self._blocks for column in block.values())
        return columns + self._successor.nbytes + self._startable.nbytes

    @property
    def num_startable(self) -> int:
        """How many windows there are."""
        return int(np.count_nonzero(self._startable[self.first - self._base :]))

    def startable(self) -> np.ndarray:
        """Numbers of all rows at which a complete window begins, oldest first."""
        return np.flatnonzero(self._startable[self.first - self._base :]) + self.first

    def is_startable(self, rows: np.ndarray) -> np.ndarray:
        """Whether a complete window begins at each of `rows` (numbers, any shape)."""
        stored = (rows >= self.first) & (rows < self.end)
        return stored & self._startable[np.where(stored, rows - self._base, 0)]

    def is_stored(self, tail: np.ndarray) -> bool:
        """Whether anything of a `tail` (see `append`) is left."""
        return bool(len(tail)) and int(tail[-1]) >= self.first

    def append(self, packed: Rows, tail: np.ndarray) -> np.ndarray:
        """Stores packed rows (L, ...) as the continuation of `tail`.

        A tail is the numbers of the last rows of a sequence, enough of them to complete windows that begin there; an
        empty one begins a new sequence. Returns the tail for the rows that come next.
        """
        first_new = self.end
        self._write(packed)
        chain = np.concatenate([tail[tail >= self.first], np.arange(first_new, self.end)])
        self._successor[chain[:-1] - self._base] = np.diff(chain)
        self._startable[chain[: 1 - self._sequence_length] - self._base] = True
        return chain[1 - self._sequence_length :]

    def evict(self, count: int) -> None:
        """Forgets the `count` oldest rows."""
        self.first += count
        while self.first - self._base >= self._block_rows:
            del self._blocks[0]
            self._base += self._block_rows
            self._successor = self._successor[self._block_rows :].copy()
            self._startable = self._startable[self._block_rows :].copy()

    def windows(self, starts: np.ndarray) -> Rows:
        """Windows that begin at the rows `starts` (B,): every column as (B, T, ...)."""
        steps = np.empty((len(starts), self._sequence_length), np.int64)
        steps[:, 0] = starts
        for t in range(1, self._sequence_length):
            steps[:, t] = steps[:, t - 1] + self._successor[steps[:, t - 1] - self._base]
        rows = self.layout.unpack(self._gather(steps.ravel()))
        return {name: column.reshape(*steps.shape, *column.shape[1:]) for name, column in rows.items()}

    def get_state(self) -> dict[str, Any]:
        """The stored rows, as views of blocks that never change, and their links."""
        bounds = range(self._base, self.end, self._block_rows)
        spans = [(max(self.first - base, 0), min(self.end - base, self._block_rows)) for base in bounds]
        return {
            "first": self.first,
            "blocks": [
                {name: column[begin:end] for name, column in block.items()}
                for block, (begin, end) in zip(self._blocks, spans, strict=False)
            ],
            "successor": self._successor[self.first - self._base : self.end - self._base].copy(),
            "finished": [int(tail[-1]) for tail in self.finished if self.is_stored(tail)],
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Fills this new storage (made with the saved `first`) with saved rows; any sequence length will do."""
        for block in state["blocks"]:
            self._write(block)
        successor = np.asarray(state["successor"])
        self._successor[: len(self)] = successor
        position = np.arange(len(self))
        complete = np.ones(len(self), bool)
        for _ in range(self._sequence_length - 1):
            complete &= successor[position] > 0
            position = position + successor[position]
        self._startable[: len(self)] = complete
        self.finished = deque(self.tails(state["finished"]))

    def tails(self, last_rows: list[int]) -> list[np.ndarray]:
        """The tails (see `append`) that end at the rows with these numbers."""
        position = np.arange(len(self))
        following = position + self._successor[self.first - self._base : self.end - self._base]
        linked = following > position
        predecessor = np.full(len(self), -1)
        predecessor[following[linked]] = position[linked]
        tails = []
        for row in last_rows:
            tail = [row - self.first]
            while len(tail) < self._sequence_length - 1 and predecessor[tail[-1]] >= 0:
                tail.append(int(predecessor[tail[-1]]))
            tails.append(np.array(tail[::-1]) + self.first)
        return tails

    def _write(self, packed: Rows) -> None:
        count = len(next(iter(packed.values())))
        written = 0
        while written < count:
            block, offset = divmod(self.end - self._base, self._block_rows)
            if block == len(self._blocks):
                self._blocks.append(self.layout.allocate(self._block_rows))
                self._successor = np.concatenate([self._successor, np.zeros(self._block_rows, np.int32)])
                self._startable = np.concatenate([self._startable, np.zeros(self._block_rows, bool)])
            length = min(self._block_rows - offset, count - written)
            for name, column in self._blocks[block].items():
                column[offset : offset + length] = packed[name][written : written + length]
            written += length
            self.end += length

    def _gather(self, rows: np.ndarray) -> Rows:
        blocks, offsets = np.divmod(rows - self._base, self._block_rows)
        gathered = self.layout.allocate(len(rows))
        bounds = [0, *(np.flatnonzero(np.diff(blocks)) + 1).tolist(), len(rows)]
        for begin, end in pairwise(bounds):
            for name, column in self._blocks[blocks[begin]].items():
                # Without "clip", numpy gathers into a buffer of its own first.
                np.take(column, offsets[begin:end], axis=0, out=gathered[name][begin:end], mode="clip")
        return gathered
