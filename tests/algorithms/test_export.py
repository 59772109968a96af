"""An exported policy needs torch and numpy, and runs no pickled code."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from rllib_mamba import MAMBAPolicy
from rllib_mamba.algorithms.policy import DESCRIPTION_FILE, WEIGHTS_FILE


@pytest.fixture
def copy(exported: Path, tmp_path: Path) -> Path:
    """An export that may be damaged."""
    return Path(shutil.copytree(exported, tmp_path / "export"))


def test_it_acts_as_before_where_ray_cannot_be_imported(exported: Path, script: Callable[..., None]) -> None:
    script("without_ray.py", exported)


def test_it_holds_no_pickle(exported: Path, signals_checkpoint: Path) -> None:
    policy = MAMBAPolicy.from_checkpoint(signals_checkpoint)
    assert {path.name for path in exported.iterdir()} == {WEIGHTS_FILE, DESCRIPTION_FILE, "games.pkl"}
    description = json.loads((exported / DESCRIPTION_FILE).read_text())
    assert description["presets"] == ["debug"]
    agents = description["layout"]["agents"]
    assert [agent["agent"] for agent in agents] == ["scout", "heavy_0", "heavy_1"]
    assert [agent["observation_space"]["shape"] for agent in agents] == [[2], [2, 2], [2, 2]]
    assert [(agent["num_actions"], agent["first_action"]) for agent in agents] == [(3, 5), (2, 0), (2, 0)]
    weights = policy.get_weights()
    # As another reader of the format sees it.
    tensors = load_file(exported / WEIGHTS_FILE)
    assert tensors.keys() == weights.keys()
    for name, value in weights.items():
        assert tensors[name].dtype == value.dtype
        np.testing.assert_array_equal(tensors[name], value)


def test_what_safetensors_writes_can_be_read(copy: Path) -> None:
    before = MAMBAPolicy.load(copy).get_weights()
    save_file({name: value + 1 for name, value in before.items()}, copy / WEIGHTS_FILE, metadata={"by": "hand"})
    after = MAMBAPolicy.load(copy)
    for name, value in after.get_weights().items():
        np.testing.assert_array_equal(value, before[name] + 1)


def test_export_makes_its_directory_and_replaces_what_is_there(copy: Path, tmp_path: Path) -> None:
    policy = MAMBAPolicy.load(copy)
    policy.set_weights({name: value * 0 for name, value in policy.get_weights().items()})
    for directory in (tmp_path / "new" / "place", copy):
        policy.export(directory)
        loaded = MAMBAPolicy.load(directory)
        assert all(not value.any() for value in loaded.get_weights().values())
        assert loaded.layout == policy.layout
        assert loaded.presets == ("debug",)


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_weights_that_were_cut_off_are_an_error(keep: int, copy: Path) -> None:
    file = copy / WEIGHTS_FILE
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ValueError, match=WEIGHTS_FILE):
        MAMBAPolicy.load(copy)


def test_weights_of_another_size_are_an_error(copy: Path) -> None:
    weights = MAMBAPolicy.load(copy).get_weights()
    name = next(iter(weights))
    for damaged in ({name: weights[name]}, {**weights, name: weights[name][:1]}):
        save_file(damaged, copy / WEIGHTS_FILE)
        with pytest.raises(ValueError, match="cannot be read"):
            MAMBAPolicy.load(copy)


@pytest.mark.parametrize(
    "change",
    [
        {"format_version": 99},
        {"world_model": {"hidden_size": 30}},
        {"layout": {}},
        {"layout": 3},
        {"presets": None, "mask_dead_agents": None, "world_model": None},
    ],
)
def test_a_wrong_description_is_an_error(change: dict, copy: Path) -> None:
    file = copy / DESCRIPTION_FILE
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(ValueError, match="cannot be read"):
        MAMBAPolicy.load(copy)


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00\xff"])
def test_a_damaged_description_is_an_error(text: str, copy: Path) -> None:
    (copy / DESCRIPTION_FILE).write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match="cannot be read"):
        MAMBAPolicy.load(copy)


@pytest.mark.parametrize("name", [WEIGHTS_FILE, DESCRIPTION_FILE])
def test_a_missing_file_is_named(name: str, copy: Path) -> None:
    (copy / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        MAMBAPolicy.load(copy)


def test_numbers_that_the_format_cannot_hold_are_an_error(copy: Path, tmp_path: Path) -> None:
    policy = MAMBAPolicy.load(copy)
    policy.networks.to(torch.float16)
    with pytest.raises(ValueError, match="float16, which cannot be exported"):
        policy.export(tmp_path / "half")
