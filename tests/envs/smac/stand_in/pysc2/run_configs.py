"""Where the game is installed: in the folder that SC2PATH names."""

import copy
import os

from pysc2.lib import sc_process


class RunConfig:
    """The installed game: `Versions/Base75800/SC2_x64`, `Maps`, `Replays`."""

    def __init__(self, version: str | None) -> None:
        self.data_dir = os.path.expanduser(os.environ.get("SC2PATH", "~/StarCraftII"))
        self.env = copy.deepcopy(os.environ)
        self._builds = sorted(os.listdir(os.path.join(self.data_dir, "Versions")))
        if version not in (None, "4.10"):
            raise ValueError(f"Unknown game version: {version}. Known versions: ['4.10'].")
        self._saved = 0

    def map_data(self, map_name: str) -> bytes:
        path = os.path.join(self.data_dir, "Maps", map_name)
        if not os.path.exists(path):
            raise ValueError(f"Map {map_name} not found in {self.data_dir}/Maps.")
        with open(path, "rb") as file:
            return file.read()

    def save_replay(self, replay_data: bytes, replay_dir: str, prefix: str) -> str:
        folder = os.path.join(self.data_dir, "Replays", replay_dir)
        os.makedirs(folder, exist_ok=True)
        self._saved += 1
        path = os.path.join(folder, f"{prefix}_{self._saved}.SC2Replay")
        with open(path, "wb") as file:
            file.write(replay_data)
        return path

    def start(self) -> sc_process.StarcraftProcess:
        exec_path = os.path.join(self.data_dir, "Versions", self._builds[-1], "SC2_x64")
        if not os.path.exists(exec_path):
            raise sc_process.SC2LaunchError(f"No SC2 binary found at: {exec_path}")
        return sc_process.StarcraftProcess(self, exec_path)


def get(version: str | None = None) -> RunConfig:
    return RunConfig(version)
