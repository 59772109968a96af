"""Loads an exported policy where nothing but torch, numpy and the standard library can be imported, and acts.

python without_ray.py DIRECTORY
"""

import pickle
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path

import numpy as np  # noqa: F401
import torch

# What torch and numpy brought with them.
ALLOWED = {name.partition(".")[0] for name in sys.modules} | sys.stdlib_module_names | {"rllib_mamba"}
assert not ALLOWED & {"ray", "gymnasium", "safetensors"}


class Forbid(MetaPathFinder):
    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] not in ALLOWED:
            raise ModuleNotFoundError(f"{name} is forbidden here", name=name)


def main(directory: Path) -> None:
    from rllib_mamba import MAMBAPolicy

    policy = MAMBAPolicy.load(directory)
    for greedy, steps in pickle.loads((directory / "games.pkl").read_bytes()).items():
        policy.reset(len(steps[0][0]))
        for number, (seen, infos, actions, terminated) in enumerate(steps):
            torch.manual_seed(number)
            assert policy.act_in_all(seen, infos, greedy=greedy) == actions, (greedy, number)
            for environment, terminateds in enumerate(terminated):
                policy.end(terminateds, environment)
                if terminateds["__all__"]:
                    policy.reset(environments=[environment])
    assert "ray" not in sys.modules
    assert "gymnasium" not in sys.modules


if __name__ == "__main__":
    sys.meta_path.insert(0, Forbid())
    main(Path(sys.argv[1]))
