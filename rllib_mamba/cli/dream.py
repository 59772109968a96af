"""`rllib dream`: what the world model of a checkpoint believes, beside what happens."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from rllib_mamba.algorithms.mamba.mamba import MAMBA
from rllib_mamba.algorithms.mamba.policy import MAMBAPolicy
from rllib_mamba.cli.checkpoint import CheckpointInfo, read_checkpoint
from rllib_mamba.cli.cluster import quieten
from rllib_mamba.cli.environments import environment_name
from rllib_mamba.cli.episode_runner import make_environment, seed_libraries, team_policies
from rllib_mamba.cli.errors import CommandError, UsageError, did_you_mean, one_line
from rllib_mamba.cli.options import DreamOptions, EvaluateOptions
from rllib_mamba.cli.output import clear, prepare_folder, require_reports
from rllib_mamba.cli.players import prepared_checkpoint
from rllib_mamba.registry import register
from rllib_mamba.reports.dream_numbers import JSON_FILE, write_dreams
from rllib_mamba.reports.dreams import OPEN_LOOP, WAYS, DreamReport, RealEpisode
from rllib_mamba.reports.dreams import dream as make_dreams
from rllib_mamba.reports.errors import ReportError
from rllib_mamba.teams import TeamEnv, columns
from rllib_mamba.teams.team_env import ALL

_DRAWN = ("error_by_horizon.*", "attention.*", "observations_*", "outcomes_*")


def dream(path: str, options: DreamOptions) -> int:
    """Runs `rllib dream`; returns the exit code.

    Raises CommandError, in one line, where the checkpoint, its environment or an option does not fit.
    """
    quieten(options.verbose)
    # Tune forgets registered names when a cluster that this process started is shut down.
    register()
    found = read_checkpoint(path)
    if not issubclass(found.algorithm, MAMBA):
        raise UsageError(
            f"{found.path} is a checkpoint of {found.algorithm.__name__}, which has no world model: rllib dream shows "
            "what MAMBA's believes."
        )
    require_reports("rllib dream", "matplotlib")
    checkpoint = prepared_checkpoint(path, EvaluateOptions(env=options.env, config=options.config))
    policies = team_policies(checkpoint)
    if policies is None:
        raise CommandError(f"{checkpoint.path} has teams that were not trained: rllib dream cannot play with them.")
    team = _choose(options.team, policies)
    prepare_folder(options.out, options.overwrite)
    torch.set_num_threads(1)
    episodes = _play_all(checkpoint, policies, team, options)
    try:
        report = make_dreams(
            policies[team].networks.world_model,
            episodes,
            options.horizon,
            options.context,
            options.starts,
            mask_dead_agents=policies[team].networks.mask_dead_agents,
            mask_communication=checkpoint.config.mask_communication,
        )
    except ReportError as error:
        raise CommandError(f"{error} Give a smaller --context, or more --episodes.") from error
    _write(report, checkpoint, policies[team], team, options)
    print(_summary(report, checkpoint, team))
    print(f"written to {options.out}: {JSON_FILE}, pictures as PNG and SVG")
    return 0


def _choose(team: str | None, policies: Mapping[str, Any]) -> str:
    if team is None and len(policies) == 1:
        return next(iter(policies))
    if team is None:
        raise UsageError(f"--team is missing: the checkpoint has {', '.join(policies)}.")
    if team not in policies:
        raise UsageError(
            f"--team: there is no team {team!r}; there is {', '.join(policies)}.{did_you_mean(team, policies)}"
        )
    return team


def _play_all(
    checkpoint: CheckpointInfo, policies: Mapping[str, MAMBAPolicy], team: str, options: DreamOptions
) -> list[RealEpisode]:
    config = checkpoint.config
    environment = make_environment(config)
    try:
        episodes = []
        teams = TeamEnv(environment, config.teams, config.team_reward)
        for seed in range(options.seed, options.seed + options.episodes):
            try:
                episodes.append(_play(teams, policies, team, seed, options.greedy, config.truncation_is_terminal))
            except Exception as error:
                raise CommandError(
                    f"the episode with seed {seed} failed: {type(error).__name__}: {one_line(str(error))}"
                ) from error
        return episodes
    finally:
        environment.close()


def _play(
    environment: TeamEnv,
    policies: Mapping[str, MAMBAPolicy],
    team: str,
    seed: int,
    greedy: bool,
    truncation_is_terminal: bool,
) -> RealEpisode:
    """Plays one episode until `team` is over, with what the team saw, did and received."""
    seed_libraries(seed)
    observations, _ = environment.reset(seed=seed)
    states = {name: [part[None] for part in policy.get_initial_state()] for name, policy in policies.items()}
    rows, actions, over = [observations[team]], [], False
    while not over:
        chosen: dict[str, np.ndarray] = {}
        for name, observation in observations.items():
            batch = {key: value[None] for key, value in observation.items()}
            [chosen[name]], states[name], _ = policies[name].compute_actions(batch, states[name], explore=not greedy)
        observations, _, terminateds, truncateds, _ = environment.step(chosen)
        actions.append(chosen[team])
        rows.append(observations[team])
        terminated = terminateds[team] or terminateds[ALL]
        truncated = truncateds[team] or truncateds[ALL]
        over = terminated or truncated
    ended = np.stack([row[columns.ENDED] for row in rows]).astype(bool)
    if truncated and truncation_is_terminal:
        # What the model was taught: a time limit is an end like any other.
        ended[-1] = True
    return RealEpisode(
        seed=seed,
        observation=np.stack([row[columns.OBS] for row in rows]),
        alive=np.stack([row[columns.ALIVE] for row in rows]).astype(bool),
        ended=ended,
        action=np.stack(actions).astype(np.int64),
        reward=np.stack([row[columns.REWARDS] for row in rows[1:]]),
        action_mask=_masks(rows, columns.ACTION_MASK),
        comm_mask=_masks(rows, columns.COMM_MASK),
    )


def _masks(rows: Sequence[Mapping[str, np.ndarray]], key: str) -> np.ndarray | None:
    return np.stack([row[key] for row in rows]).astype(bool) if key in rows[0] else None


def _write(
    report: DreamReport, checkpoint: CheckpointInfo, policy: MAMBAPolicy, team: str, options: DreamOptions
) -> None:
    from rllib_mamba.reports.dream_figures import draw_dreams

    agents = [str(agent.agent) for agent in policy.layout.agents]
    environment = environment_name(checkpoint.config)
    title = environment if len(checkpoint.config.policies) < 2 else f"{environment}, team {team}"
    made_with = {
        "checkpoint": str(checkpoint.path),
        "environment": environment,
        "team": team,
        "agents": agents,
        "options": {key: value for key, value in asdict(options).items() if key not in ("verbose", "overwrite", "out")},
    }
    try:
        clear(options.out, (JSON_FILE, *_DRAWN))
        write_dreams(report, agents, made_with, options.pictures, options.out)
        draw_dreams(report, agents, title, options.context, options.pictures, options.out)
    except OSError as error:
        raise CommandError(f"--out: {options.out} cannot be written ({error.strerror}).") from error


def _summary(report: DreamReport, checkpoint: CheckpointInfo, team: str) -> str:
    steps = sum(episode.length for episode in report.episodes)
    head = (
        f"MAMBA on {environment_name(checkpoint.config)}, team {team}: {len(report.episodes)} episodes, {steps} steps, "
        f"{len(report.dreams)} predictions"
    )
    reached = int((report.counts > 0).sum())
    shown = sorted({1, (reached + 1) // 2, reached})
    rows = [("error of", "", *(f"{step} step{'s' if step > 1 else ''}" for step in shown))]
    for quantity, ways in report.errors.items():
        for way, curve in ways.items():
            values = (curve.mean[step - 1] for step in shown)
            first = quantity if way == OPEN_LOOP else ""
            rows.append((first, WAYS[way], *("-" if math.isnan(value) else f"{value:.3g}" for value in values)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        words = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
        numbers = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
        lines.append("  ".join([*words, *numbers]))
    return "\n".join([head, *lines])
