"""Loggers beside TensorBoard, CSV and JSON, which are always written: Weights & Biases and MLflow."""

import importlib.util
from pathlib import Path

from ray.tune import Callback

from rllib_mamba.cli.errors import UsageError
from rllib_mamba.cli.options import TrainOptions


def logger_callbacks(options: TrainOptions, experiment_name: str) -> list[Callback]:
    """Returns the loggers that the options ask for. Raises UsageError where the package they need is missing."""
    callbacks: list[Callback] = []
    if options.wandb_key or options.wandb_project or options.wandb_run_name:
        _require("wandb", "--wandb-key, --wandb-project and --wandb-run-name")
        from ray.air.integrations.wandb import WandbLoggerCallback

        key = options.wandb_key
        key_file = key if key and Path(key).expanduser().is_file() else None
        callbacks.append(
            WandbLoggerCallback(
                project=options.wandb_project or experiment_name,
                api_key_file=key_file,
                api_key=None if key_file else key,
                **({"name": options.wandb_run_name} if options.wandb_run_name else {}),
            )
        )
    if options.mlflow_uri:
        _require("mlflow", "--mlflow-uri")
        from ray.air.integrations.mlflow import MLflowLoggerCallback

        callbacks.append(MLflowLoggerCallback(tracking_uri=options.mlflow_uri, experiment_name=experiment_name))
    return callbacks


def _require(package: str, options: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise UsageError(f"{options} need the package {package}: pip install {package}")
