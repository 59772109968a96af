"""Draws one metric of one training against environment steps, with levels to compare it to.

    python benchmarks/learning_curve.py results/flatland_5_agents_small \
        --metric env_runners/episode_metrics/arrived --label "trains that arrive" \
        --level "shortest path, same maps=0.75" --point "greedy, 50 new maps=100000:0.8" --out curve.png

The curve is the mean over the training episodes of each iteration, weighted by their number and smoothed over a window
of env steps; the band is the standard error of the mean in that window.
"""

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"


def read_results(folder: Path) -> list[dict]:
    """The iterations of the one training under `folder`."""
    files = sorted(folder.rglob("result.json"))
    if len(files) != 1:
        raise SystemExit(f"{folder} holds {len(files)} trainings; give the folder of one.")
    return [json.loads(line) for line in files[0].read_text().splitlines() if line.strip()]


def value_at(result: dict, metric: str) -> float:
    """A metric by its name with slashes; NaN where an iteration has none."""
    for key in metric.split("/"):
        result = result.get(key) if isinstance(result, dict) else None
    return float("nan") if result is None else float(result)


def smoothed(steps: np.ndarray, values: np.ndarray, episodes: np.ndarray, window: float) -> tuple[np.ndarray, ...]:
    """Mean and standard error over the last `window` env steps, weighted by episodes."""
    means, errors = [], []
    for step in steps:
        inside = (steps > step - window) & (steps <= step) & np.isfinite(values) & (episodes > 0)
        if not inside.any():
            means.append(np.nan)
            errors.append(np.nan)
            continue
        weight = episodes[inside] / episodes[inside].sum()
        mean = float(np.sum(weight * values[inside]))
        spread = np.sum(weight * (values[inside] - mean) ** 2)
        means.append(mean)
        errors.append(float(np.sqrt(spread / max(1, inside.sum() - 1))))
    return np.array(means), np.array(errors)


def main() -> None:
    """Reads the arguments and writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--metric", required=True)
    parser.add_argument("--label", required=True)
    parser.add_argument("--level", action="append", default=[], help="a horizontal line, name=value")
    parser.add_argument("--point", action="append", default=[], help="a measured point, name=step:value")
    parser.add_argument("--window", type=float, default=10_000, help="env steps to smooth over")
    parser.add_argument("--title", default="")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()

    results = read_results(arguments.results)
    steps = np.array([value_at(result, "num_env_steps_sampled_lifetime") for result in results])
    values = np.array([value_at(result, arguments.metric) for result in results])
    episodes = np.nan_to_num([value_at(result, "env_runners/num_episodes") for result in results])
    mean, error = smoothed(steps, values, episodes, arguments.window)

    figure, axes = plt.subplots(figsize=(7, 4), dpi=150)
    axes.plot(steps, mean, color=BLUE, label=f"training, mean over {arguments.window:,.0f} env steps")
    axes.fill_between(steps, mean - error, mean + error, color=BLUE, alpha=0.2, label="its standard error")
    for level in arguments.level:
        name, _, value = level.rpartition("=")
        axes.axhline(float(value), color=ORANGE, linestyle="--", label=f"{name}: {float(value):.2f}")
    for point in arguments.point:
        name, _, place = point.rpartition("=")
        step, _, value = place.partition(":")
        axes.plot(float(step), float(value), "o", color=GREEN, markersize=8, label=f"{name}: {float(value):.2f}")
    axes.set(xlabel="environment steps", ylabel=arguments.label, title=arguments.title, ylim=(0, 1))
    axes.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:.0f}k")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=8)
    figure.tight_layout()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(arguments.out)
    print(arguments.out)


if __name__ == "__main__":
    main()
