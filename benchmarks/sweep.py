"""A sweep of MAMBA on SMAX's 3m with successive halving, and its picture for docs/tuning.md.

python benchmarks/sweep.py --results RESULTS --picture docs/pictures/sweep_smax_3m.png

Interrupted, it goes on where it was when it is called again. Needs the extras smax and reports.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAME = "sweep_smax_3m"
#: What trials are compared by. A battle won comes to 2; before any is won, the share of health that the enemies lost.
RETURN = "env_runners/episode_return_mean"
#: An iteration's results are means over its own episodes, a dozen here.
EPISODES = 50
BEST_RETURN = 2.0

#: Those of tuned_examples/mamba/smax_3m.py where the sweep searches nothing.
SETTINGS: dict[str, Any] = {
    "num_envs_per_env_runner": 8,
    "horizon": 7,
    "loss_scales": {"reconstruction": 5.0},
    "world_model_updates": 40,
    "agent_updates": 8,
    "num_epochs": 3,
    "update_every": 100,
    "min_steps_before_learning": 500,
    "critic_lr": 1e-3,
    "metrics_num_episodes_for_smoothing": 50,
    "min_sample_timesteps_per_iteration": 100,
}

#: What is searched, and whether a logarithmic axis shows it.
SEARCHED = {
    "actor_lr": ("loguniform:1e-4,2e-3", True),
    "world_model_lr": ("loguniform:1e-4,1e-3", True),
    "entropy_coeff": ("loguniform:1e-3,1e-1", True),
    "gamma": ("choice:0.9,0.95,0.99", False),
}


@dataclass(frozen=True)
class Trial:
    """What a trial searched, and its mean return of the last `EPISODES` episodes, by env steps."""

    settings: dict[str, float]
    env_steps: list[int]
    returns: list[float]

    @property
    def final(self) -> float:
        """The mean return when it ended."""
        return self.returns[-1]


def run(results: Path, trials: int, env_steps: int, seed: int) -> int:
    """Runs the sweep, or goes on with it; returns the exit code of `rllib train`."""
    from rllib_mamba.cli.main import main as rllib

    arguments = ["train", "--algo", "MAMBA", "--experiment-name", NAME, "--local-dir", str(results)]
    if (results / NAME / "tuner.pkl").is_file():
        return rllib([*arguments, "--resume"])
    searched = [part for name, (words, _) in SEARCHED.items() for part in ("--config", f"{name}={words}")]
    halving = {"grace_period": max(1, env_steps // 4), "reduction_factor": 2}
    arguments += ["--env", "smax_3m", "--preset", "small", "--config", json.dumps(SETTINGS), *searched]
    arguments += ["--num-samples", str(trials), "--seed", str(seed), "--stop-timesteps", str(env_steps)]
    return rllib([*arguments, "--scheduler", "asha", "--scheduler-config", json.dumps(halving)])


def read(folder: Path) -> list[Trial]:
    """The trials of an experiment that have a return, the best at their end first."""
    from rllib_mamba.reports.reading import read_run

    trials = []
    for file in folder.glob("*/result.json"):
        trained = read_run(file)
        if trained is not None and RETURN in trained.metrics:
            curve = trained.series(RETURN, EPISODES)
            settings = {name: float(trained.settings[name]) for name in SEARCHED}
            trials.append(Trial(settings, curve.steps.astype(int).tolist(), curve.values.tolist()))
    return sorted(trials, key=lambda trial: -trial.final)


def draw(trials: list[Trial], picture: Path) -> None:
    """Draws learning curves, and the return at the end against every setting that was searched."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import NullFormatter

    figure, axes = plt.subplot_mosaic(
        [["curves", *list(SEARCHED)[:2]], ["curves", *list(SEARCHED)[2:]]],
        figsize=(12, 5.5),
        width_ratios=[1.7, 1, 1],
        layout="constrained",
    )
    longest = max(trial.env_steps[-1] for trial in trials)
    colours = plt.get_cmap("cividis")
    for trial in reversed(trials):
        colour = colours(1 - trial.env_steps[-1] / longest)
        axes["curves"].plot(trial.env_steps, trial.returns, color=colour, linewidth=1.5)
        axes["curves"].plot(trial.env_steps[-1], trial.final, "o", color=colour)
        for name in SEARCHED:
            axes[name].plot(trial.settings[name], trial.final, "o", color=colour, markersize=7)
    axes["curves"].set(
        xlabel="env steps",
        ylabel=f"mean return of the last {EPISODES} training episodes (2: all won)",
        ylim=(0, BEST_RETURN),
        xlim=(0, None),
    )
    axes["curves"].set_title(f"{len(trials)} trials; dots: how far each came", fontsize=10)
    for name, (words, logarithmic) in SEARCHED.items():
        axes[name].set(xlabel=name, ylabel="return at its end", ylim=(0, BEST_RETURN))
        values = [float(value) for value in words.partition(":")[2].split(",")]
        if logarithmic:
            axes[name].set(xscale="log", xlim=values)
            axes[name].xaxis.set_minor_formatter(NullFormatter())
        else:
            axes[name].set_xticks(values)
    figure.suptitle("MAMBA on SMAX 3m; the darker, the longer a trial ran")
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=110)
    plt.close(figure)


def main() -> int:
    """Runs what is left of the sweep and draws it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, help="folder of the results")
    parser.add_argument("--picture", type=Path, required=True, help="PNG to write")
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--env-steps", type=int, default=8_000, help="of a trial that is not stopped")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--draw-only", action="store_true", help="draw what is there")
    arguments = parser.parse_args()
    results = arguments.results.absolute()
    code = 0 if arguments.draw_only else run(results, arguments.trials, arguments.env_steps, arguments.seed)
    trials = read(results / NAME)
    if not trials:
        print(f"no trial in {results / NAME} has finished an episode yet", file=sys.stderr)
        return code or 1
    draw(trials, arguments.picture)
    print(f"{len(trials)} trials drawn in {arguments.picture}")
    return code


if __name__ == "__main__":
    sys.exit(main())
