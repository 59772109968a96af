"""What the documents say is what the code does."""

import ast
import re
from pathlib import Path

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

from rllib_mamba import MAMBAConfig
from rllib_mamba.algorithms.mamba.presets import PRESETS

DOCS = Path(__file__).parent.parent / "docs"
#: Options that RLlib documents.
RLLIB_OPTIONS = {"gamma", "num_epochs", "minibatch_size"}


def documented_options() -> dict[str, object]:
    rows = re.findall(r"^\| `(\w+)` \| `(.+?)` \|", (DOCS / "options.md").read_text(), re.MULTILINE)
    return {name: ast.literal_eval(value) for name, value in rows}


def test_every_option_is_documented_with_its_default() -> None:
    config = MAMBAConfig()
    for name, default in documented_options().items():
        assert getattr(config, name) == default, name


def test_no_option_is_left_out() -> None:
    ours = vars(MAMBAConfig()).keys() - vars(AlgorithmConfig()).keys()
    assert ours - {"presets", "team_reward", "agent_spaces"} <= documented_options().keys()
    assert documented_options().keys() >= RLLIB_OPTIONS


def test_every_preset_is_documented() -> None:
    text = (DOCS / "options.md").read_text()
    assert all(f"| `{name}` |" in text for name in PRESETS)
