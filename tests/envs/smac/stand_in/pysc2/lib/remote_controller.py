"""Talks to a game: checks that its process is alive, and plays the battle itself."""

import copy
import subprocess
from types import SimpleNamespace
from typing import Any

from battle import MAP_SIZE, Battle

from pysc2.lib import protocol


class RemoteController:
    """The calls of PySC2's controller that `StarCraft2Env` makes.

    Raises:
        protocol.ConnectionError: the process of the game has ended.
        protocol.ProtocolError: the connection was closed.
    """

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self._closed = False
        self._battle: Battle | None = None
        self._seed: int | None = None

    def create_game(self, request: Any) -> None:
        self._answer("create_game")
        self._map_name, self._seed = request.map_name, request.random_seed

    def join_game(self, request: Any) -> None:
        self._answer("join_game")
        self._battle = Battle(self._map_name, self._seed)

    def game_info(self) -> Any:
        self._answer("game_info")
        return SimpleNamespace(map_size=MAP_SIZE)

    def observe(self) -> Any:
        self._answer("observe")
        assert self._battle is not None
        units = [copy.deepcopy(unit) for unit in self._battle.units if unit.health > 0]
        return SimpleNamespace(observation=SimpleNamespace(raw_data=SimpleNamespace(units=units)))

    def actions(self, orders: list[Any]) -> None:
        self._answer("actions")
        assert self._battle is not None
        self._battle.orders = orders

    def step(self, count: int) -> None:
        self._answer("step")
        assert self._battle is not None
        self._battle.advance()

    def debug(self, tags: list[int]) -> None:
        """Kills units; when none is left the map brings new ones."""
        self._answer("debug")
        assert self._battle is not None
        self._battle.kill(tags)

    def create_units(self, owner: int, unit_types: list[str]) -> None:
        self._answer("create_units")
        assert self._battle is not None
        self._battle.create(owner, unit_types)

    def save_replay(self) -> bytes:
        self._answer("save_replay")
        assert self._battle is not None
        return f"a replay of {self._battle.number} battles".encode()

    def quit(self) -> None:
        """As in PySC2, a game that is gone is no fault here."""

    def close(self) -> None:
        self._closed = True

    def _answer(self, call: str) -> None:
        if self._closed:
            raise protocol.ProtocolError(f"`{call}` called while in state: quit")
        if self._process.poll() is not None:
            raise protocol.ConnectionError("Connection already closed. SC2 probably crashed. Check the error log.")
