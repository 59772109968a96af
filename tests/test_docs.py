"""What the documents say is what the code does."""

import ast
import re
from pathlib import Path

import pytest
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

from rllib_mamba import MAMBAConfig, MAPPOConfig, QMIXConfig
from rllib_mamba.algorithms.team_config import TeamAlgorithmConfig

DOCS = Path(__file__).parent.parent / "docs"
#: Of every algorithm: the page of its options, and those on it that RLlib documents.
PAGES: dict[type[TeamAlgorithmConfig], tuple[str, set[str]]] = {
    MAMBAConfig: ("options.md", {"gamma", "num_epochs", "minibatch_size"}),
    MAPPOConfig: ("options_mappo.md", {"gamma", "num_epochs", "train_batch_size_per_learner"}),
    QMIXConfig: ("options_qmix.md", {"gamma", "lr", "grad_clip"}),
}
#: What every team algorithm has and is described elsewhere.
COMMON = vars(TeamAlgorithmConfig(QMIXConfig)).keys()

algorithms = pytest.mark.parametrize("config_class", PAGES)


def documented_options(page: str) -> dict[str, object]:
    rows = re.findall(r"^\| `(\w+)` \| `(.+?)` \|", (DOCS / page).read_text(), re.MULTILINE)
    return {name: ast.literal_eval(value) for name, value in rows}


@algorithms
def test_every_option_is_documented_with_its_default(config_class: type[TeamAlgorithmConfig]) -> None:
    config = config_class()
    for name, default in documented_options(PAGES[config_class][0]).items():
        assert getattr(config, name) == default, name


@algorithms
def test_no_option_is_left_out(config_class: type[TeamAlgorithmConfig]) -> None:
    page, rllib_options = PAGES[config_class]
    documented = documented_options(page).keys()
    ours = vars(config_class()).keys() - vars(AlgorithmConfig()).keys()
    assert ours - COMMON <= documented
    assert documented >= rllib_options | {"team_reward"}


@algorithms
def test_every_preset_is_documented(config_class: type[TeamAlgorithmConfig]) -> None:
    text = (DOCS / PAGES[config_class][0]).read_text()
    assert config_class.known_presets
    assert all(f"| `{name}` |" in text for name in config_class.known_presets)
