"""What a run asks of the Ray cluster, against what there is: Ray itself would wait for ever, without a word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ray
import torch
from ray.data._internal.cluster_autoscaler.util import is_autoscaling_enabled
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

_ADVICE = {
    "CPU": "Lower num_env_runners (now {runners}), evaluation_num_env_runners ({evaluation}) or num_learners "
    "({learners}), or give Ray more with ray.init(num_cpus=...).",
    "GPU": "Lower num_gpus_per_learner (now {gpus:g}), or use a machine with a GPU that torch and Ray find.",
}


def require_resources(config: AlgorithmConfig, bundles: Sequence[Mapping[str, float]]) -> None:
    """Makes sure that the cluster has what the processes of a run ask for, be it in use at present.

    A cluster that can grow is not judged: it may add what is missing.

    Args:
        config: The configuration of the run, for the advice.
        bundles: The resources of each process; each has to fit on one machine.

    Raises:
        ValueError: All processes together, or one of them on its own, ask for more than there is.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if is_autoscaling_enabled():
        return
    for kind in sorted({kind for bundle in bundles for kind in bundle}):
        needed = sum(bundle.get(kind, 0) for bundle in bundles)
        has = sum(node.get(kind, 0) for node in nodes)
        advice = _ADVICE.get(kind, "Start Ray with that resource, or do not ask for it.").format(
            runners=config.num_env_runners,
            evaluation=config.evaluation_num_env_runners,
            learners=config.num_learners,
            gpus=config.num_gpus_per_learner,
        )
        if needed > has:
            raise ValueError(f"The run needs {needed:g} {kind}s, but the Ray cluster has {has:g}. {advice}")
        largest = max(bundle.get(kind, 0) for bundle in bundles)
        if largest > max(node.get(kind, 0) for node in nodes):
            raise ValueError(
                f"One process of the run needs {largest:g} {kind}s, more than any machine of the Ray cluster has. "
                f"{advice}"
            )


def require_local_gpu(config: AlgorithmConfig) -> None:
    """Makes sure that there is a GPU for a learner that runs in this process.

    Raises:
        ValueError: One is asked for and torch finds none.
    """
    if config.num_learners == 0 and config.num_gpus_per_learner and not torch.cuda.is_available():
        raise ValueError(
            f"num_gpus_per_learner={config.num_gpus_per_learner:g}, but torch finds no GPU on this machine. Set it to "
            "0, or install a torch with CUDA support on a machine with a GPU."
        )
