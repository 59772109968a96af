"""Loads a checkpoint where no Ray runs, plays with it, and exports it together with the games it played.

python without_cluster.py CHECKPOINT DIRECTORY
"""

import pickle
import sys
from pathlib import Path
from typing import Any

import ray
from play import play
from ray.rllib.core.rl_module.rl_module import RLModule

from rllib_mamba import MAMBAPolicy


def main(checkpoint: Path, directory: Path) -> None:
    policy = MAMBAPolicy.from_checkpoint(checkpoint)
    module = RLModule.from_checkpoint(checkpoint / "learner_group/learner/rl_module/team")
    games: dict[bool, list[Any]] = {True: [], False: []}
    for greedy, steps in games.items():
        compared = play(module, policy, greedy, watch=lambda *step, steps=steps: steps.append(step))
        assert compared > 100, compared
    policy.export(directory)
    (directory / "games.pkl").write_bytes(pickle.dumps(games))
    assert not ray.is_initialized()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
