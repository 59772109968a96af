"""A process that trains, saves, tells what came next, and trains on until it is killed.

    python interrupted_run.py DIRECTORY RUN...

For each run (the name of a configuration in `runs`) it leaves DIRECTORY/RUN/checkpoint and, of the iterations that
followed, DIRECTORY/RUN/afterwards.pkl.
"""

import pickle
import sys
from pathlib import Path

import ray
import runs

ITERATIONS_BEFORE = 3
ITERATIONS_AFTER = 1


def main(directory: Path, names: list[str]) -> None:
    ray.init(address="local", num_cpus=1, num_gpus=0, include_dashboard=False, log_to_driver=False)
    for name in names:
        algorithm = getattr(runs, name)().build_algo()
        for _ in range(ITERATIONS_BEFORE):
            algorithm.train()
        algorithm.save_to_path(directory / name / "checkpoint")
        afterwards = {"weights before": runs.weights(algorithm)}
        result = algorithm.train()
        afterwards["learners"] = runs.learner_results(result)
        afterwards["weights"] = runs.weights(algorithm)
        afterwards["iteration"] = result["training_iteration"]
        afterwards["env steps"] = result["num_env_steps_sampled_lifetime"]
        afterwards["schedule"] = algorithm.update_schedule.get_state()
        (directory / name / "afterwards.pkl").write_bytes(pickle.dumps(afterwards))
    print("ready", flush=True)
    while True:
        algorithm.train()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
