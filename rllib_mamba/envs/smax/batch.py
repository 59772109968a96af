"""Steps all battles of a process that are waiting for it in one call."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import numpy as np

from rllib_mamba.envs.smax.settings import SMAXSettings
from rllib_mamba.envs.smax.simulation import Simulation, View


class Seat:
    """One environment's place among those that step together: its battle and what it sees of it.

    Views are `View`s of one battle as numpy arrays and Python numbers, masks as int8.

    Args:
        batch: the batch that the seat belongs to.
        key: (2,) uint32, decides about all battles of this seat until `begin` gives it another.
        limit: steps after which a battle is cut.
    """

    def __init__(self, batch: Batch, key: np.ndarray, limit: int) -> None:
        self._batch = batch
        self._limit = limit
        self._key: np.ndarray | None = key
        self._view: View | None = None
        self._first_view: View | None = None
        self.battle = np.zeros(0, np.uint32)

    def begin(self, key: np.ndarray | None = None) -> View:
        """Begins a battle, with `key` the first of those that belong to it, and gives its first view."""
        self.leave()
        key = self._key if key is None else key
        self._key = None
        if key is None and self._first_view is None:
            # The last battle was not fought to its end.
            key = self.battle[-2:]
        if key is not None:
            self.battle, self._first_view = self._batch.begin(key, self._limit)
        view, self._first_view = self._first_view, None
        assert view is not None
        return view

    def act(self, actions: np.ndarray) -> None:
        """Hands in the allies' actions (n,) of the next step."""
        self._batch.waiting[self] = actions

    def wait(self) -> View:
        """The view after the step, which is carried out for all that have handed in actions."""
        if self._view is None:
            self._batch.step()
        view, self._view = self._view, None
        assert view is not None
        return view

    def leave(self) -> None:
        """Takes back actions that were handed in but not waited for."""
        self._batch.waiting.pop(self, None)
        self._view = None

    def receive(self, battle: np.ndarray, view: View, first_view: View | None) -> None:
        """For the batch: what came of a step; with `first_view` the battle has ended and the next one begun."""
        self.battle = battle
        self._view = view
        self._first_view = first_view


class Batch:
    """All environments of this process with the same settings: those that wait are stepped in one compiled call.

    Args:
        settings: of all of them; seeds and limits may differ.
    """

    def __init__(self, settings: SMAXSettings) -> None:
        self.simulation = Simulation(settings)
        self.waiting: dict[Seat, np.ndarray] = {}
        self._compiled: list[int] = []

    def begin(self, key: np.ndarray, limit: int) -> tuple[np.ndarray, View]:
        """A battle (W,) uint32 and the first view of it."""
        battle, row = self.simulation.begin(key, np.int32(limit))
        return np.asarray(battle), self._views(row[None])[0]

    def step(self) -> None:
        """Carries out the steps that are waited for."""
        seats = list(self.waiting)
        size = self._size(len(seats))
        battles = np.zeros((size, seats[0].battle.size), np.uint32)
        actions = np.zeros((size, self.simulation.num_allies), np.int32)
        for row, seat in enumerate(seats):
            battles[row] = seat.battle
            actions[row] = self.waiting[seat]
        # Places left over fight the first battle as well, and nobody looks.
        battles[len(seats) :] = battles[0]
        actions[len(seats) :] = actions[0]
        self.waiting.clear()
        moves = self.simulation.step(battles, actions)
        after = np.asarray(moves.battles)
        views = self._views(moves.views)
        ended = [bool(view.terminated or view.truncated) for view in views]
        first_views = self._views(moves.first_views) if any(ended) else views
        for row, seat in enumerate(seats):
            seat.receive(after[row], views[row], first_views[row] if ended[row] else None)

    def _size(self, number: int) -> int:
        # Compiling takes seconds, a battle more than needed some microseconds.
        large_enough = [size for size in self._compiled if size >= number]
        if not large_enough:
            large_enough = [1 << (number - 1).bit_length()]
            self._compiled += large_enough
        return min(large_enough)

    def _views(self, rows: Any) -> list[View]:
        # A copy: what jax gives is read-only.
        views = self.simulation.read_views(np.array(rows))
        arrays = views._replace(action_masks=views.action_masks.astype(np.int8))
        numbers = {
            name: getattr(views, name).tolist() for name in ("alive", "reward", "steps", "terminated", "truncated")
        }
        return [View(*parts) for parts in zip(*arrays._replace(**numbers), strict=True)]


def shared_batch(settings: SMAXSettings) -> Batch:
    """The batch of this process for these settings, whatever the seed and the limit; made and compiled once."""
    return _batch_of(dataclasses.replace(settings, seed=None, max_steps=1))


@cache
def _batch_of(settings: SMAXSettings) -> Batch:
    return Batch(settings)
