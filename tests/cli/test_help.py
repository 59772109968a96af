from collections.abc import Callable

import pytest

TRAIN = [
    "--algo",
    "--run",
    "--env",
    "--config",
    "--preset",
    "--stop",
    "--stop-iters",
    "--stop-timesteps",
    "--stop-reward",
    "--experiment-name",
    "--local-dir",
    "--storage-path",
    "--num-samples",
    "--seed",
    "--checkpoint-freq",
    "--checkpoint-at-end",
    "--keep-checkpoints-num",
    "--checkpoint-score-attr",
    "--restore",
    "--resume",
    "--scheduler",
    "--scheduler-config",
    "--num-env-runners",
    "--num-envs-per-env-runner",
    "--num-learners",
    "--num-gpus-per-learner",
    "--evaluation-interval",
    "--evaluation-duration",
    "--wandb-key",
    "--wandb-project",
    "--wandb-run-name",
    "--mlflow-uri",
    "--ray-address",
    "--ray-num-cpus",
    "--ray-num-gpus",
    "--local-mode",
    "--no-tune",
    "--as-test",
]
EVALUATE = [
    "--episodes",
    "--steps",
    "--env",
    "--config",
    "--algo",
    "--seed",
    "--greedy",
    "--sample",
    "--render",
    "--video-dir",
    "--out",
    "--num-env-runners",
]


@pytest.fixture
def help_text(rllib: Callable, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    monkeypatch.setenv("COLUMNS", "200")

    def text(*arguments: str) -> str:
        ran = rllib(*arguments, "--help")
        assert ran.code == 0
        return ran.out

    return text


def test_every_option_is_offered(help_text: Callable[..., str]) -> None:
    train, file, evaluate = help_text("train"), help_text("train", "file"), help_text("evaluate")

    assert [option for option in TRAIN if f"{option}" not in train] == []
    assert [option for option in TRAIN if option not in file] == ["--algo", "--run", "--config"]
    assert [option for option in EVALUATE if option not in evaluate] == []


def test_defaults_are_named(help_text: Callable[..., str]) -> None:
    assert "(default: ~/ray_results)" in help_text("train")
    assert "--install-completion" in help_text()


@pytest.mark.parametrize("arguments", [[], ["train"], ["example"]])
def test_without_arguments_there_is_help_and_no_message(arguments: list[str], rllib: Callable) -> None:
    ran = rllib(*arguments)
    assert ran.code == 2
    assert "Usage: rllib" in ran.out
    assert ran.error == ""
