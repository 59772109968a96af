"""Plays the episodes of an evaluation, in this process or in several side by side."""

import dataclasses
import itertools
import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from rllib_mamba import registry
from rllib_mamba.algorithms.team_config import TeamAlgorithmConfig
from rllib_mamba.cli.checkpoint import CheckpointInfo, read_checkpoint
from rllib_mamba.cli.cluster import quieten
from rllib_mamba.cli.environments import is_gymnasium_id, set_environment, user_env_config, user_environment
from rllib_mamba.cli.episode_runner import make_episode_runner
from rllib_mamba.cli.errors import CommandError, UsageError, one_line
from rllib_mamba.cli.options import EvaluateOptions
from rllib_mamba.cli.recording import Episode, EpisodeLog
from rllib_mamba.cli.settings import apply_settings, parse_settings
from rllib_mamba.cli.video import write_video


@dataclass(frozen=True)
class Played:
    """An episode, its return as training counts it, and the file of its video."""

    episode: Episode
    team_return: float
    video: Path | None = None


def prepared_checkpoint(path: str, options: EvaluateOptions) -> CheckpointInfo:
    """Reads the checkpoint and applies what the command line changes about it.

    Raises CommandError for a checkpoint that cannot be read, is of another algorithm, or does not fit the environment.
    """
    checkpoint = read_checkpoint(path)
    if options.algo and options.algo != checkpoint.algorithm.__name__:
        try:
            same = registry.get_algorithm_class(options.algo) is checkpoint.algorithm
        except ValueError as error:
            raise UsageError(one_line(str(error))) from error
        if not same:
            raise UsageError(
                f"{checkpoint.path} is a checkpoint of {checkpoint.algorithm.__name__}, not {options.algo}."
            )
    config = checkpoint.config
    settings = parse_settings(options.config or [])
    environment = options.env or settings.pop("env", None)
    trained_on = config.copy(copy_frozen=False)
    if isinstance(config, TeamAlgorithmConfig):
        config.env, config.env_config = config.user_env, config.user_env_config
    apply_settings(config, settings)
    if environment:
        several_agents = config.is_multi_agent
        set_environment(config, environment)
        if config.is_multi_agent and not several_agents:
            raise CommandError(
                f"the checkpoint {checkpoint.path} does not fit this environment: it was trained on one agent, "
                f"{environment} has several."
            )
    _add_render_mode(config, options)
    if isinstance(config, TeamAlgorithmConfig):
        _check_teams(config, trained_on, checkpoint.path)
    return checkpoint


def play_episodes(checkpoint: CheckpointInfo, path: str, options: EvaluateOptions) -> Iterator[Played]:
    """Yields the episodes with seeds seed, seed + 1, ... in this order, as many as the caller takes."""
    seeds = itertools.count(options.seed or 0)
    if not options.num_env_runners:
        player = _Player(checkpoint, options)
        try:
            yield from map(player.play, seeds)
        finally:
            player.close()
        return
    workers = [_WorkerProcess(path, options) for _ in range(options.num_env_runners)]
    try:
        while True:
            for worker in workers:
                worker.begin(next(seeds))
            for worker in workers:
                yield worker.result()
    finally:
        for worker in workers:
            worker.close()


class _Player:
    def __init__(self, checkpoint: CheckpointInfo, options: EvaluateOptions) -> None:
        # One observation at a time is too little work to share: threads would wait for each other most of the time.
        torch.set_num_threads(1)
        self._config = checkpoint.config
        self._video_dir = options.video_dir
        log = EpisodeLog(with_frames=options.video_dir is not None, show=bool(options.render))
        self._runner = make_episode_runner(checkpoint, log, greedy=options.greedy is not False)

    def play(self, seed: int) -> Played:
        try:
            episode = self._runner.play(seed)
        except CommandError:
            raise
        except Exception as error:
            raise CommandError(
                f"the episode with seed {seed} failed: {type(error).__name__}: {one_line(str(error))}"
            ) from error
        video = None
        if self._video_dir is not None:
            video = write_video(episode.frames, self._video_dir, f"seed_{seed:06d}", episode.frames_per_second)
            episode = dataclasses.replace(episode, frames=[])
        return Played(episode, _team_return(self._config, episode), video)

    def close(self) -> None:
        self._runner.close()


class _WorkerProcess:
    """A process of its own with the checkpoint loaded."""

    def __init__(self, path: str, options: EvaluateOptions) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, path, options), daemon=True)
        self._process.start()
        theirs.close()

    def begin(self, seed: int) -> None:
        self._connection.send(seed)

    def result(self) -> Played:
        try:
            answer = self._connection.recv()
        except EOFError:
            raise CommandError(f"a process of --num-env-runners died (exit code {self._process.exitcode}).") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self._connection.close()
        self._process.join(timeout=5)
        if self._process.is_alive():
            self._process.kill()


def _serve(connection: Connection, path: str, options: EvaluateOptions) -> None:
    quieten(options.verbose)
    try:
        player = _Player(prepared_checkpoint(path, options), options)
        while True:
            connection.send(player.play(connection.recv()))
    except EOFError:
        return
    except CommandError as error:
        connection.send(error)


def _team_return(config: Any, episode: Episode) -> float:
    """The return as RLlib counts it in training: a team's members by `team_reward`, then the sum of all."""
    if not isinstance(config, TeamAlgorithmConfig):
        return sum(episode.returns.values(), start=0.0)
    total = 0.0
    for members in config.teams.values():
        values = [episode.returns.get(str(agent), 0.0) for agent in members]
        total += sum(values) / (len(values) if config.team_reward == "mean" else 1)
    return total


def _check_teams(config: TeamAlgorithmConfig, trained_on: TeamAlgorithmConfig, path: Path) -> None:
    try:
        config.validate()
    except (ValueError, TypeError, ImportError) as error:
        raise UsageError(one_line(str(error))) from error
    before, now = trained_on.agent_spaces, config.agent_spaces
    if before == now:
        return
    if set(before) != set(now):
        detail = f"agents {', '.join(map(str, before))} in training, {', '.join(map(str, now))} here"
    else:
        changed = next(agent for agent in before if before[agent] != now[agent])
        detail = f"{changed} has the spaces {now[changed]} here and had {before[changed]} in training"
    raise CommandError(f"the checkpoint {path} does not fit this environment: {detail}.")


def _add_render_mode(config: Any, options: EvaluateOptions) -> None:
    if not (options.render or options.video_dir is not None):
        return
    specifier = user_environment(config)
    # Other environments decide for themselves what render() gives, and may know no such setting.
    if isinstance(specifier, str) and (is_gymnasium_id(specifier) or registry.PETTINGZOO_PREFIX in specifier):
        settings = user_env_config(config)
        settings.setdefault("render_mode", "rgb_array" if options.video_dir is not None else "human")
        config.environment(env_config=settings)
