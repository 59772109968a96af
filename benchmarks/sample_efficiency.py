"""How many env steps MAMBA, MAPPO and QMIX need: their tuned examples, several seeds, greedy evaluation as they learn.

    nohup python benchmarks/sample_efficiency.py --results results/sample_efficiency --jobs 2 > progress.txt &

MAMBA gets the env steps of its tuned example and the baselines ten times as many; their scores at MAMBA's budget are
read off the same runs. At fixed numbers of env steps each plays 50 episodes greedily, the same ones every time, with
seeds apart from training. No checkpoint is chosen. Every run computes on one thread; `--jobs` run side by side.

The same command goes on after Ctrl-C, a crash or a kill: runs that are finished stay, the others go on from their last
evaluation. `--only mamba:smax_3m` trains a part, `--budget-scale 0.05` tries everything out. At the end, and with
`--report` alone, `rllib compare` makes one report for each environment, in `<results>/reports/`.

Each run is in a folder of Ray Tune's form (`result.json`, `params.json`, the last checkpoint), with its log. The runs
that `docs/benchmarks.md` reports are in `benchmarks/recorded/sample_efficiency`, without checkpoints: `--report` with
this folder as `--results` makes their reports again.
"""

import argparse
import fcntl
import fnmatch
import itertools
import json
import os
import runpy
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REFERENCE = "mamba"
ALGORITHMS = ("mamba", "mappo", "qmix")
BASELINE_BUDGET = 10
POINTS = 20
EPISODES = 50
EVALUATION_SEED = 1_000_000
STEPS = "num_env_steps_sampled_lifetime"
KEPT = (STEPS, "training_iteration", "time_total_s", "evaluation", "evaluation_seconds", "done")
KEPT_OF_TRAINING_EPISODES = ("episode_return_mean", "episode_len_mean", "episode_metrics")
INTERRUPTED = 130
ATTEMPTS = 3


@dataclass(frozen=True)
class Task:
    """An environment: the tuned examples' name for it, and what is scored, a metric of the evaluations."""

    example: str
    metric: str


TASKS = {
    "smax_3m": Task("smax_3m", "episode_metrics/won"),
    "smax_2s3z": Task("smax_2s3z", "episode_metrics/won"),
    "flatland_5_agents": Task("flatland_5_agents_small", "episode_metrics/arrived"),
    "simple_spread": Task("simple_spread", "episode_return_mean"),
}


@dataclass(frozen=True)
class Run:
    """One training."""

    algorithm: str
    task: str
    seed: int
    root: Path
    budget_scale: float = 1.0

    @property
    def name(self) -> str:
        """As `--only` takes it."""
        return f"{self.algorithm}:{self.task}:{self.seed}"

    @property
    def folder(self) -> Path:
        """Where its results are."""
        return self.root / f"{self.algorithm.upper()}_{self.task}_seed_{self.seed}"

    @property
    def evaluation_points(self) -> list[int]:
        """Env steps at which it is evaluated: twenty up to MAMBA's budget, then in twentieths of its own."""
        reference = self._example(REFERENCE)["stop"][STEPS] * self.budget_scale
        budget = reference if self.algorithm == REFERENCE else reference * BASELINE_BUDGET
        points = {reference * index / POINTS for index in range(1, POINTS + 1)}
        points |= {value for index in range(1, POINTS + 1) if (value := budget * index / POINTS) > reference}
        return sorted({max(1, round(point)) for point in points})

    def config(self) -> Any:
        """The configuration of the tuned example, in one process."""
        config = self._example(self.algorithm)["config"]
        config.debugging(seed=self.seed, log_level="ERROR").env_runners(num_env_runners=0).learners(num_learners=0)
        points = self.evaluation_points
        # An iteration is never longer than from one evaluation to the next, unless the algorithm's batches are.
        interval = min(points[0], config.min_sample_timesteps_per_iteration or points[0])
        return config.reporting(min_sample_timesteps_per_iteration=interval)

    def _example(self, algorithm: str) -> dict[str, Any]:
        from rllib_mamba.cli.examples import examples_folder

        return runpy.run_path(str(examples_folder() / algorithm / f"{TASKS[self.task].example}.py"))

    def results(self) -> list[dict[str, Any]]:
        """What it has written so far."""
        file = self.folder / "result.json"
        lines = file.read_text().splitlines() if file.exists() else []
        # The last line may be half-written.
        rows = []
        for line in lines:
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                break
        return rows


# ---------------------------------------------------------------------- one run, in a process of its own


@dataclass(eq=False)
class Records:
    """A run's folder: what Tune's logger asks of a trial, and checkpoints that are whole or not there."""

    local_path: str
    config: dict[str, Any]
    checkpoint: None = None

    def init_local_path(self) -> None:
        Path(self.local_path).mkdir(parents=True, exist_ok=True)

    def begin(self) -> tuple[Path | None, dict[str, Any]]:
        """Forgets what came after the last checkpoint; returns it, and what was noted with it."""
        from ray.tune.logger import JsonLoggerCallback

        folder = Path(self.local_path)
        checkpoint = max(folder.glob("checkpoint_*"), default=None)
        noted = json.loads((checkpoint / "benchmark.json").read_text()) if checkpoint else {"rows": 0, "seconds": 0.0}
        file = folder / "result.json"
        lines = file.read_text().splitlines(keepends=True) if file.exists() else []
        file.write_text("".join(lines[: noted["rows"]]))
        self._rows = noted["rows"]
        self._logger = JsonLoggerCallback()
        self._logger.log_trial_start(self)
        return checkpoint, noted

    def write(self, result: dict[str, Any]) -> None:
        self._logger.log_trial_result(self._rows, self, result)
        self._rows += 1

    def save(self, algorithm: Any, seconds: float) -> None:
        folder = Path(self.local_path)
        unfinished = folder / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        algorithm.save_to_path(str(unfinished))
        (unfinished / "benchmark.json").write_text(json.dumps({"rows": self._rows, "seconds": seconds}))
        older = list(folder.glob("checkpoint_*"))
        unfinished.rename(folder / f"checkpoint_{self._rows:06d}")
        for checkpoint in older:
            shutil.rmtree(checkpoint)


def train(run: Run) -> None:
    """Trains and evaluates one run to its end, from its last checkpoint on if there is one."""
    import ray
    import torch
    from greedy_evaluation import GreedyEvaluation

    torch.set_num_threads(1)
    run.folder.mkdir(parents=True, exist_ok=True)
    lock = (run.folder / "lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    ray.init(address="local", num_cpus=1, num_gpus=0, include_dashboard=False, log_to_driver=False)
    config = run.config()
    records = Records(str(run.folder), config.to_dict())
    checkpoint, noted = records.begin()
    evaluate = GreedyEvaluation(config, EPISODES, EVALUATION_SEED)
    algorithm = config.build_algo()
    began = time.monotonic() - noted["seconds"]
    if checkpoint is None:
        records.write(evaluated(algorithm, {STEPS: 0, "training_iteration": 0}, evaluate, began))
        steps = 0
    else:
        algorithm.restore_from_path(str(checkpoint))
        steps = run.results()[-1][STEPS]
    points = [point for point in run.evaluation_points if point > steps]
    while points:
        result = algorithm.train()
        steps = result[STEPS]
        if steps < points[0]:
            continue
        points = [point for point in points if point > steps]
        records.write(evaluated(algorithm, result, evaluate, began) | {"done": not points})
        records.save(algorithm, time.monotonic() - began)
        print(records_line(run), flush=True)


def evaluated(algorithm: Any, result: dict[str, Any], evaluate: Any, began: float) -> dict[str, Any]:
    """What is kept of the result, with its evaluation and the seconds of all parts of an interrupted run."""
    result = dict(result)
    seconds = time.monotonic() - began
    begin = time.monotonic()
    # With the steps, no two evaluations look alike.
    result["evaluation"] = {"env_runners": evaluate(algorithm), "env_steps_before": result[STEPS]}
    result |= {"time_total_s": seconds, "evaluation_seconds": time.monotonic() - begin}
    episodes = result.get("env_runners", {})
    kept = {name: episodes[name] for name in KEPT_OF_TRAINING_EPISODES if name in episodes}
    return {name: result[name] for name in KEPT if name in result} | ({"env_runners": kept} if kept else {})


def end_with_the_parent() -> None:
    """Ends this process when the one that started it is gone, however that ended: its end of stdin is closed then."""

    def wait() -> None:
        # Not by `sys.stdin`, whose lock Python needs when it ends.
        os.read(0, 1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


# ---------------------------------------------------------------------- all runs


def records_line(run: Run) -> str:
    """The newest result of a run in words."""
    rows = run.results()
    if not rows:
        return f"{run.name} begins"
    value: Any = rows[-1]["evaluation"]["env_runners"]
    metric = TASKS[run.task].metric
    for key in metric.split("/"):
        value = value[key]
    return f"{run.name} at {rows[-1][STEPS]:,.0f} of {run.evaluation_points[-1]:,} env steps, {metric} {value:.3f}"


def is_finished(run: Run) -> bool:
    """Whether a run has come to its end."""
    rows = run.results()
    return bool(rows) and bool(rows[-1].get("done"))


def hours_left(runs: list[Run], jobs: int) -> float | None:
    """Hours until all runs are done, by the speed of those that have begun; None as long as some kind has not."""
    speeds: dict[tuple[str, str], float] = {}
    for run in runs:
        if (rows := run.results()) and rows[-1][STEPS]:
            speeds[run.algorithm, run.task] = rows[-1]["time_total_s"] / rows[-1][STEPS]
    total = 0.0
    for run in runs:
        if is_finished(run):
            continue
        if (run.algorithm, run.task) not in speeds:
            return None
        rows = run.results()
        done = rows[-1][STEPS] if rows else 0
        total += max(0, run.evaluation_points[-1] - done) * speeds[run.algorithm, run.task]
    return total / jobs / 3600


def work(runs: list[Run], jobs: int, report_every: float) -> list[Run]:
    """Trains all runs that are not finished, `jobs` at a time; returns those that failed."""
    waiting = [run for run in runs if not is_finished(run)]
    print(f"{len(runs) - len(waiting)} of {len(runs)} runs are finished.", flush=True)
    running: dict[Run, subprocess.Popen] = {}
    attempts = dict.fromkeys(waiting, ATTEMPTS)
    failed: list[Run] = []
    reported = time.monotonic()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                run = waiting.pop(0)
                running[run] = start(run)
                print(f"started  {run.name}", flush=True)
            time.sleep(0.5)
            for run, process in list(running.items()):
                if process.poll() is None:
                    continue
                del running[run]
                if is_finished(run):
                    print(f"finished {records_line(run)}", flush=True)
                    continue
                attempts[run] -= 1
                # On a busy machine, it may be no fault of the run.
                (waiting if attempts[run] else failed).append(run)
                again = "tried again later" if attempts[run] else "given up"
                print(f"failed   {run.name}, {again}: see {run.folder / 'log.txt'}", flush=True)
            if time.monotonic() - reported > report_every:
                reported = time.monotonic()
                print_progress(runs, list(running), jobs)
    finally:
        for process in running.values():
            process.stdin.close()
        for process in running.values():
            process.wait()
    return failed


def start(run: Run) -> subprocess.Popen:
    """Starts the process of a run, which Ctrl-C does not reach and which ends when this one does."""
    run.folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, __file__, "--results", str(run.root), "--budget-scale", str(run.budget_scale)]
    with (run.folder / "log.txt").open("a") as log:
        return subprocess.Popen(
            [*command, "--train", run.name],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )


def print_progress(runs: list[Run], running: list[Run], jobs: int) -> None:
    """One line on what runs, what is done and how long it may take."""
    finished = sum(map(is_finished, runs))
    hours = hours_left(runs, jobs)
    left = "time left unknown until every kind has begun" if hours is None else f"about {hours:.1f} h left"
    now = "; ".join(records_line(run) for run in running)
    print(f"{time.strftime('%H:%M')} {finished} of {len(runs)} runs finished, {left}: {now}", flush=True)


def report(runs: list[Run]) -> int:
    """Compares the finished runs of each environment; returns 1 where that was not possible."""
    from rllib_mamba.cli.main import main as rllib

    code = 0
    for task, of_task in itertools.groupby(sorted(runs, key=lambda run: run.task), key=lambda run: run.task):
        folders = [str(run.folder) for run in of_task if is_finished(run)]
        if folders:
            out = runs[0].root / "reports" / task
            metric = f"evaluation/env_runners/{TASKS[task].metric}"
            code = max(code, rllib(["compare", *folders, "--metric", metric, "--out", str(out), "--overwrite"]))
    return code


def selected(arguments: argparse.Namespace) -> list[Run]:
    """The runs that the command line names, the first seed of everything before the second."""
    everything = [
        Run(algorithm, task, seed, arguments.results.absolute(), arguments.budget_scale)
        for seed, task, algorithm in itertools.product(range(arguments.seeds), TASKS, ALGORITHMS)
    ]
    if not arguments.only:
        return everything
    unused = [p for p in arguments.only if not any(matches(run, p) for run in everything)]
    if unused:
        raise SystemExit(
            f"--only {unused[0]} is no run: ALGORITHM[:ENVIRONMENT[:SEED]], of {', '.join(ALGORITHMS)}, "
            f"{', '.join(TASKS)} and seeds 0 to {arguments.seeds - 1}; * stands for any."
        )
    return [run for run in everything if any(matches(run, pattern) for pattern in arguments.only)]


def matches(run: Run, pattern: str) -> bool:
    """Whether `--only` with this pattern means the run."""
    return fnmatch.fnmatch(run.name, pattern) or fnmatch.fnmatch(run.name, f"{pattern}:*")


def check_budget(file: Path, scale: float) -> None:
    """Ends the program where the results are of other budgets; notes those of new results."""
    noted = json.loads(file.read_text())["budget_scale"] if file.exists() else scale
    if noted != scale:
        raise SystemExit(f"{file.parent} holds runs with --budget-scale {noted:g}: choose another folder (--results).")
    file.write_text(json.dumps({"budget_scale": scale}))


def main() -> int:
    """Reads the arguments, trains what is not trained yet, and reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results/sample_efficiency"))
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side, each on one thread")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", action="append", default=[], help="ALGORITHM[:ENVIRONMENT[:SEED]]; repeatable")
    parser.add_argument("--budget-scale", type=float, default=1.0, help="share of the env steps, to try it out")
    parser.add_argument("--report-every", type=float, default=60.0, help="seconds between lines of progress")
    parser.add_argument("--report", action="store_true", help="only compare what is finished")
    parser.add_argument("--train", metavar="RUN", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        end_with_the_parent()
        algorithm, task, seed = arguments.train.split(":")
        train(Run(algorithm, task, int(seed), arguments.results.absolute(), arguments.budget_scale))
        return 0
    runs = selected(arguments)
    arguments.results.mkdir(parents=True, exist_ok=True)
    check_budget(arguments.results / "benchmark.json", arguments.budget_scale)
    with (arguments.results / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(f"another program is at work in {arguments.results}.") from None
        try:
            failed = [] if arguments.report else work(runs, arguments.jobs, arguments.report_every)
        except KeyboardInterrupt:
            print("interrupted; the same command goes on.", file=sys.stderr)
            return INTERRUPTED
        return max(report(runs), 1 if failed else 0)


if __name__ == "__main__":
    sys.exit(main())
