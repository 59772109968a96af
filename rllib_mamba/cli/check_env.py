"""`rllib check-env`: says in plain words what would go wrong in training on an environment."""

import dataclasses
import json
import os
import shutil
import textwrap
from collections.abc import Mapping
from typing import Any

from ray.tune.registry import ENV_CREATOR, _global_registry

from rllib_mamba import registry
from rllib_mamba.checking import Concerns, Finding, Report, Severity, check_environment
from rllib_mamba.cli.cluster import quieten
from rllib_mamba.cli.environments import is_gymnasium_id
from rllib_mamba.cli.errors import CommandError, UsageError, did_you_mean
from rllib_mamba.cli.options import CheckOptions
from rllib_mamba.cli.settings import parse_settings

_ENV_CONFIG = "env_config"
_WIDEST = 120


def check_env(name: str, options: CheckOptions) -> int:
    """Runs `rllib check-env`; returns the exit code, 1 where there are errors.

    Raises CommandError, in one line, for an unknown name, settings that cannot be read, a file that cannot be written.
    """
    quieten(options.verbose)
    registry.register()
    _check_name(name)
    # Environments that draw with SDL need neither a screen nor a sound card for images.
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
    report = check_environment(
        name, _env_config(options), episodes=options.episodes, step_limit=options.steps, seed=options.seed
    )
    print(_text(name, report))
    if options.out is not None:
        try:
            options.out.parent.mkdir(parents=True, exist_ok=True)
            options.out.write_text(json.dumps(_json(name, report), indent=2) + "\n")
        except OSError as error:
            raise CommandError(f"--out: {options.out} cannot be written ({error.strerror}).") from error
        print(f"written to {options.out}")
    return 1 if report.of(Severity.ERROR) else 0


def _check_name(name: str) -> None:
    known = registry.environment_names()
    ours = ":" in name or name in known or name.startswith(tuple(registry.FAMILIES))
    if ours or _global_registry.contains(ENV_CREATOR, name):
        return
    if is_gymnasium_id(name):
        raise UsageError(
            f"{name} is a single-agent environment of gymnasium: RLlib's algorithms train on it as it is, and "
            "gymnasium.utils.env_checker.check_env checks it. check-env is for multi-agent environments."
        )
    raise UsageError(
        f"unknown environment {name!r}.{did_you_mean(name, known)} Others are given as module:Class or "
        "pettingzoo:module."
    )


def _env_config(options: CheckOptions) -> dict[str, Any]:
    """The settings of the environment, by their own names or as `rllib train` takes them (`env_config.size=5`)."""
    settings = parse_settings(options.config or [])
    group = settings.pop(_ENV_CONFIG, {})
    if not isinstance(group, Mapping):
        raise UsageError(f"--config: {_ENV_CONFIG} needs a group of settings, got {group!r}.")
    return {**settings, **group}


def _text(name: str, report: Report) -> str:
    width = min(shutil.get_terminal_size((100, 24)).columns, _WIDEST)
    lines = [f"{name} ({report.environment})" if report.environment else name]
    lines += [_paragraph(fact, text, width) for fact, text in report.facts.items()]
    for severity in Severity:
        for finding in report.of(severity):
            lines += ["", *_finding(finding, width)]
    return "\n".join([*lines, "", _verdict(report)])


def _finding(finding: Finding, width: int) -> list[str]:
    concerns = "" if finding.concerns is Concerns.ALL else f" for {finding.concerns}"
    parts = {"seen": finding.seen, "expected": finding.expected, "to mend it": finding.remedy}
    head = f"{finding.severity.upper()}{concerns} [{finding.check}]"
    return [head, *(_paragraph(part, text, width) for part, text in parts.items())]


def _paragraph(title: str, text: str, width: int) -> str:
    return textwrap.fill(text, width, initial_indent=f"  {title:<12}  ", subsequent_indent=" " * 16)


def _verdict(report: Report) -> str:
    verdicts = [
        f"{algorithms}: {'would train' if report.trains(algorithms) else 'would not train'}."
        for algorithms in (Concerns.TEAMS, Concerns.RLLIB)
    ]
    counts = [(len(report.of(severity)), severity) for severity in Severity]
    found = ", ".join(f"{count} {severity}{'s' * (count != 1)}" for count, severity in counts)
    return f"{' '.join(verdicts)} {found}."


def _json(name: str, report: Report) -> dict[str, Any]:
    return {
        "environment": name,
        "class": report.environment,
        "would_train": {"teams": report.trains(Concerns.TEAMS), "rllib": report.trains(Concerns.RLLIB)},
        "facts": report.facts,
        "findings": [dataclasses.asdict(finding) for finding in report.findings],
    }
