"""Pictures of what a world model believes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rllib_mamba.reports.dreams import (
    CONTINUATION,
    LEGAL,
    OBSERVATION,
    OPEN_LOOP,
    POSTERIOR,
    REWARD,
    STAYS,
    WAYS,
    Dream,
    DreamReport,
)
from rllib_mamba.reports.figures import caption, percent
from rllib_mamba.reports.style import SETTINGS, save

FEW_FEATURES = 6
SHOWN_AGENTS = 3
NAMED_AGENTS = 12
ANNOTATED_AGENTS = 6
_WIDTH = 7.2
_CHARACTERS_PER_INCH = 18
_COLOURS = {OPEN_LOOP: "#0072B2", POSTERIOR: "#009E73", STAYS: "#D55E00"}
_NOTHING = "#BBBBBB"
_GREY = "Grey: the agent does not act."
_DASHES = {OPEN_LOOP: "-", POSTERIOR: (0, (5, 1.5)), STAYS: (0, (1.2, 1.2))}
_ERRORS = {
    OBSERVATION: "Observation: mean absolute error",
    REWARD: "Reward: mean absolute error",
    CONTINUATION: "Continuation: share wrong",
    LEGAL: "Legal actions: share wrong",
}


def draw_dreams(
    report: DreamReport, agents: Sequence[str], title: str, context: int, pictures: int, folder: Path
) -> list[str]:
    """Draws errors, attention and the first dreams of `pictures` episodes; returns the names of the PNG files."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    files = []
    with plt.rc_context(SETTINGS):
        files += save(_errors(report, title), folder, "error_by_horizon")
        files += save(_attention(report.attention, agents, title), folder, "attention")
        for number, dream in enumerate(report.eventful(pictures), start=1):
            files += save(_observations(report, dream, agents, title, context), folder, f"observations_{number}")
            files += save(_outcomes(report, dream, agents, title, context), folder, f"outcomes_{number}")
    return [file for file in files if file.endswith(".png")]


def _errors(report: DreamReport, title: str) -> Any:
    import matplotlib.pyplot as plt

    rows = (len(report.errors) + 1) // 2
    figure, grid = plt.subplots(rows, 2, figsize=(_WIDTH, 0.9 + 2.1 * rows), layout="constrained", squeeze=False)
    panels = grid.flatten().tolist()
    for panel, (quantity, curves) in zip(panels, report.errors.items(), strict=False):
        for way, curve in curves.items():
            x = np.arange(1, len(curve.mean) + 1)
            if curve.low is not None and curve.high is not None:
                panel.fill_between(x, curve.low, curve.high, color=_COLOURS[way], alpha=0.18, linewidth=0)
            panel.plot(x, curve.mean, color=_COLOURS[way], linestyle=_DASHES[way], linewidth=1.6, label=WAYS[way])
        panel.set_title(_ERRORS[quantity], loc="left", fontsize=9)
        never_wrong = all(np.nanmax(curve.mean) == 0 for curve in curves.values())
        panel.set_ylim(bottom=0, top=1 if never_wrong else None)
        panel.set_xlim(1, max(2, int((report.counts > 0).sum())))
        _whole_steps(panel, "Steps ahead")
    for panel in panels[len(report.errors) :]:
        panel.axis("off")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, handlelength=2.8, fontsize=8.5, title=title)
    episodes = len({dream.episode for dream in report.dreams})
    interval = f"Band: {percent()} bootstrap interval over episodes. " if episodes > 1 else "One episode: no interval. "
    starts = f"{len(report.dreams)} starts in {episodes} episode{'s' if episodes > 1 else ''}"
    last = int(report.counts[report.counts > 0][-1])
    if last < len(report.dreams):
        starts += f", of which {last} reach the last step shown; curves bend where others end"
    caption(figure, f"{starts}. {interval}Over agents that act.")
    return figure


def _observations(report: DreamReport, dream: Dream, agents: Sequence[str], title: str, context: int) -> Any:
    shown = [(agents[agent], agent) for agent in _shown_agents(report, dream)]
    real, believed, first = _real_and_believed(report, dream, context)
    title = f"{title}, seed {report.episodes[dream.episode].seed}: observations"
    if real.shape[-1] <= FEW_FEATURES:
        return _feature_lines(real, believed, first, dream.start, shown, title)
    largest = np.max([np.abs(episode.observation).max((0, 1)) for episode in report.episodes], 0)
    unit = np.where(largest > 0, largest, 1.0)
    acts = report.episodes[dream.episode].alive[first : first + len(real)]
    real = np.where(acts[..., None], real, np.nan)
    return _feature_maps(real / unit, believed / unit, first, dream.start, shown, title)


def _real_and_believed(report: DreamReport, dream: Dream, context: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Observations (K, N, O) of the rows from `first` on: reconstructions up to the start, predictions after it."""
    first = max(1, dream.start - context + 1)
    episode, posterior = report.episodes[dream.episode], report.posteriors[dream.episode]
    seen = posterior.observation[first - 1 : dream.start]
    return episode.observation[first : dream.rows.stop], np.concatenate([seen, dream.predicted.observation]), first


def _feature_maps(
    real: np.ndarray, believed: np.ndarray, first: int, start: int, agents: Sequence[tuple[str, int]], title: str
) -> Any:
    import matplotlib.pyplot as plt

    size = (_WIDTH, 1.0 + 1.9 * len(agents))
    figure, grid = plt.subplots(len(agents), 3, figsize=size, layout="constrained", squeeze=False, sharex=True)
    signed = np.nanmin(real) < 0
    scale = {"vmin": -1.0 if signed else 0.0, "vmax": 1.0}
    colours = "PuOr" if signed else "cividis"
    extent = (first - 0.5, first + len(real) - 0.5, real.shape[-1] - 0.5, -0.5)
    look = {"aspect": "auto", "interpolation": "nearest", "extent": extent}
    for row, (name, agent) in enumerate(agents):
        both = (real[:, agent].T, believed[:, agent].T)
        images = [
            panel.imshow(part, cmap=colours, **scale, **look) for panel, part in zip(grid[row], both, strict=False)
        ]
        images.append(grid[row, 2].imshow(both[1] - both[0], cmap="PuOr", vmin=-1.0, vmax=1.0, **look))
        grid[row, 0].set_ylabel(f"{name}\nfeature")
        for panel in grid[row]:
            panel.grid(False)
            panel.set_facecolor(_NOTHING)
            _whole_numbers(panel.yaxis)
            panel.axvline(start + 0.5, color="black", linewidth=1.0)
        for panel in grid[row, 1:]:
            panel.tick_params(labelleft=False)
    for panel, text in zip(grid[0], ("real", "believed", "believed - real"), strict=True):
        panel.set_title(text, fontsize=9)
    for panel in grid[-1]:
        _whole_steps(panel)
    figure.colorbar(images[0], ax=grid[:, 1].tolist(), shrink=0.8, fraction=0.06)
    figure.colorbar(images[2], ax=grid[:, 2].tolist(), shrink=0.8, fraction=0.06)
    figure.suptitle(title, fontsize=10)
    more = "Every feature as a share of its largest absolute value in the episodes."
    caption(figure, _dream_caption(f"{more} {_GREY}" if np.isnan(real).any() else more))
    return figure


def _feature_lines(
    real: np.ndarray, believed: np.ndarray, first: int, start: int, agents: Sequence[tuple[str, int]], title: str
) -> Any:
    import matplotlib.pyplot as plt

    features = real.shape[-1]
    size = (_WIDTH, 1.2 + 1.0 * features)
    figure, grid = plt.subplots(
        features, len(agents), figsize=size, layout="constrained", squeeze=False, sharex=True, sharey="row"
    )
    steps = np.arange(first, first + len(real))
    for column, (name, agent) in enumerate(agents):
        for feature in range(features):
            _real_and_believed_lines(grid[feature, column], steps, real[:, agent, feature], believed[:, agent, feature])
            grid[feature, column].axvline(start + 0.5, color="black", linewidth=1.0)
            grid[feature, 0].set_ylabel(f"feature {feature}")
        grid[0, column].set_title(name, fontsize=9)
        _whole_steps(grid[-1, column])
    _legend(figure, grid[0, 0], title)
    caption(figure, _dream_caption())
    return figure


def _outcomes(report: DreamReport, dream: Dream, agents: Sequence[str], title: str, context: int) -> Any:
    import matplotlib.pyplot as plt

    episode, posterior = report.episodes[dream.episode], report.posteriors[dream.episode]
    first = max(1, dream.start - context + 1)
    rows = slice(first, dream.rows.stop)
    before = slice(first - 1, dream.start)
    reward = np.concatenate([posterior.reward[before], dream.predicted.reward])
    goes_on = np.concatenate([posterior.continuation[before], dream.predicted.continuation])
    legal = None
    if dream.predicted.legal is not None and posterior.legal is not None and episode.action_mask is not None:
        legal = np.concatenate([posterior.legal[before], dream.predicted.legal])
    shown = _shown_agents(report, dream)
    panels = 4 if legal is not None else 2
    size = (_WIDTH, 1.0 + 1.25 * panels)
    figure, grid = plt.subplots(
        panels, len(shown), figsize=size, layout="constrained", squeeze=False, sharex=True, sharey="row"
    )
    x = np.arange(first, rows.stop)
    for column, agent in enumerate(shown):
        _real_and_believed_lines(
            grid[0, column], x, episode.reward[rows.start - 1 : rows.stop - 1, agent], reward[:, agent]
        )
        _real_and_believed_lines(grid[1, column], x, (~episode.ended[rows, agent]).astype(float), goes_on[:, agent])
        if legal is not None and episode.action_mask is not None:
            extent = (first - 0.5, rows.stop - 0.5, legal.shape[-1] - 0.5, -0.5)
            look = {"aspect": "auto", "interpolation": "nearest", "extent": extent, "vmin": 0, "vmax": 1}
            acts = episode.alive[rows, agent, None]
            real = np.where(acts, episode.action_mask[rows, agent], np.nan)
            grid[2, column].imshow(real.T, cmap="cividis", **look)
            image = grid[3, column].imshow(legal[:, agent].T, cmap="cividis", **look)
            for panel in grid[2:, column]:
                panel.grid(False)
                panel.set_facecolor(_NOTHING)
                _whole_numbers(panel.yaxis)
        for panel in grid[:, column]:
            panel.axvline(dream.start + 0.5, color="black", linewidth=1.0)
        grid[0, column].set_title(agents[agent], fontsize=9)
        _whole_steps(grid[-1, column])
    labels = ("reward", "P(goes on)", "action,\nlegal", "action,\nbelieved")
    for panel, label in zip(grid[:, 0], labels, strict=False):
        panel.set_ylabel(label)
    grid[1, 0].set_ylim(-0.05, 1.05)
    if legal is not None:
        figure.colorbar(image, ax=grid[2:, :].flatten().tolist(), shrink=0.8, fraction=0.03, label="P(legal)")
    what = "rewards and ends" if legal is None else "rewards, ends and legal actions"
    _legend(figure, grid[0, 0], f"{title}, seed {episode.seed}: {what}")
    more = "Rewards and P(goes on) are of the action that led to a step."
    caption(figure, _dream_caption(more if legal is None else f"{more} {_GREY}"))
    return figure


def _attention(attention: np.ndarray, agents: Sequence[str], title: str) -> Any:
    import matplotlib.pyplot as plt

    layers = len(attention)
    maps = [("all layers and heads", attention.mean(0))]
    if layers > 1:
        maps += [(f"layer {number}", layer) for number, layer in enumerate(attention, start=1)]
    columns = min(len(maps), 4)
    rows = -(-len(maps) // columns)
    size = (min(_WIDTH, 1.2 + 2.1 * columns), 1.0 + 2.1 * rows)
    figure, grid = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    panels = grid.flatten().tolist()
    count = attention.shape[-1]
    for panel, (name, weights) in zip(panels, maps, strict=False):
        image = panel.imshow(weights, cmap="cividis", vmin=0, vmax=1)
        panel.set_title(name, fontsize=9)
        panel.grid(False)
        if count <= ANNOTATED_AGENTS:
            for (i, j), value in np.ndenumerate(weights):
                text = "-" if np.isnan(value) else f"{value:.2f}"
                panel.text(j, i, text, ha="center", va="center", fontsize=7, color="black" if value > 0.5 else "white")
        names = list(agents) if count <= NAMED_AGENTS else [str(index) for index in range(count)]
        ticks = range(count) if count <= NAMED_AGENTS else range(0, count, 5)
        panel.set_xticks(ticks, [names[i] for i in ticks], rotation=45, ha="right", fontsize=7)
        panel.set_yticks(ticks, [names[i] for i in ticks] if panel is panels[0] else [], fontsize=7)
        panel.set_xlabel("heard")
    panels[0].set_ylabel("listener")
    for panel in panels[len(maps) :]:
        panel.axis("off")
    figure.colorbar(image, ax=panels, shrink=0.7, fraction=0.04, label="attention weight")
    figure.suptitle(f"{title}: who listens to whom", fontsize=10)
    text = "Each row sums to 1: how much the listener attends to each agent. Mean over the steps at which it acts."
    caption(figure, text, characters=int(_CHARACTERS_PER_INCH * size[0]))
    return figure


def _shown_agents(report: DreamReport, dream: Dream) -> list[int]:
    """Agents that act in the dream, the lowest numbers first."""
    acting = report.episodes[dream.episode].alive[dream.start : dream.rows.stop].any(0)
    return (np.flatnonzero(acting).tolist() or [0])[:SHOWN_AGENTS]


def _whole_steps(panel: Any, label: str = "Env step") -> None:
    _whole_numbers(panel.xaxis)
    panel.set_xlabel(label)


def _whole_numbers(axis: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=6, integer=True))


def _real_and_believed_lines(panel: Any, steps: np.ndarray, real: np.ndarray, believed: np.ndarray) -> None:
    panel.plot(steps, real, color="black", linewidth=1.2, label="real", drawstyle="steps-mid")
    panel.plot(steps, believed, color=_COLOURS[OPEN_LOOP], linewidth=1.4, linestyle=(0, (4, 1.2)), label="believed")


def _legend(figure: Any, panel: Any, title: str) -> None:
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, handlelength=2.8, fontsize=8.5, title=title)


def _dream_caption(more: str = "") -> str:
    text = "Left of the black line the model sees the real observations, right of it only the actions that were taken."
    return f"{text} {more}".rstrip()
