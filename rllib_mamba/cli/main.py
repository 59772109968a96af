"""Entry point of the `rllib` command. Nothing heavy is imported before a command runs."""

import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from rllib_mamba.cli.errors import FAILURE, INTERRUPTED, CommandError, one_line
from rllib_mamba.cli.options import (
    CheckOptions,
    CompareOptions,
    DreamOptions,
    EvaluateOptions,
    TrainOptions,
    takes_options,
)

app = typer.Typer(
    name="rllib", no_args_is_help=True, pretty_exceptions_enable=False, help="Train and evaluate RLlib algorithms."
)
train_app = typer.Typer(invoke_without_command=True, no_args_is_help=True)
example_app = typer.Typer(no_args_is_help=True, help="The tuned examples: documented experiments, ready to run.")
app.add_typer(train_app, name="train")
app.add_typer(example_app, name="example")


@train_app.callback()
@takes_options(TrainOptions)
def train(context: typer.Context, options: TrainOptions) -> None:
    """Train an algorithm on an environment.

    rllib train --algo MAMBA --env flatland_5_agents --stop-timesteps 100000
    """
    if context.invoked_subcommand is not None:
        if options.given():
            given = ", ".join(f"--{name.replace('_', '-')}" for name in options.given())
            raise CommandError(f"put {given} after `file FILE`, not before it.", exit_code=2)
        return
    from rllib_mamba.cli.train import train as run

    raise typer.Exit(run(options))


@train_app.command("file")
@takes_options(TrainOptions, without=("algo", "config"))
def train_file(
    file: Annotated[Path, Argument(help="Python that defines `config`, or YAML of the old tuned-example form.")],
    options: TrainOptions,
) -> None:
    """Train what a file describes; options override the file."""
    from rllib_mamba.cli.train import train as run

    raise typer.Exit(run(options, file))


@app.command()
@takes_options(EvaluateOptions)
def evaluate(
    checkpoint: Annotated[str, Argument(help="Checkpoint directory of any RLlib algorithm.")], options: EvaluateOptions
) -> None:
    """Play episodes with a checkpoint; needs no cluster.

    The return, length and environment metrics are given with their mean and its 95 % bootstrap interval.
    """
    from rllib_mamba.cli.evaluate import evaluate as run

    raise typer.Exit(run(checkpoint, options))


@app.command("check-env")
@takes_options(CheckOptions)
def check_env(
    env: Annotated[str, Argument(help="Registered name, `module:Class` or `pettingzoo:module`.")], options: CheckOptions
) -> None:
    """Say what would go wrong in training on an environment, and what it is like.

    Plays a few episodes with random legal actions; exit code 1 where an algorithm would not train.
    """
    from rllib_mamba.cli.check_env import check_env as run

    raise typer.Exit(run(env, options))


@app.command()
@takes_options(CompareOptions)
def compare(
    results: Annotated[list[str], Argument(help="Trial, experiment or results folders; NAME=PATH gives them a name.")],
    options: CompareOptions,
) -> None:
    """Make one report of runs on disk: curves, final scores, steps to a threshold, with intervals over seeds.

    rllib compare ~/ray_results/mamba ~/ray_results/qmix --metric won --out comparison
    """
    from rllib_mamba.cli.compare import compare_results as run

    raise typer.Exit(run(results, options))


@app.command()
@takes_options(DreamOptions)
def dream(checkpoint: Annotated[str, Argument(help="Checkpoint directory of MAMBA.")], options: DreamOptions) -> None:
    """Show what a world model believes: real episodes beside its predictions, and who listens to whom.

    Plays episodes with the checkpoint; needs no cluster.
    """
    from rllib_mamba.cli.dream import dream as run

    raise typer.Exit(run(checkpoint, options))


@example_app.command("list")
def example_list(
    text: Annotated[str, Option("--filter", "-f", help="Only those that contain this text.")] = "",
) -> None:
    """List the tuned examples."""
    from rllib_mamba.cli.examples import list_examples

    raise typer.Exit(list_examples(text))


@example_app.command("get")
def example_get(name: Annotated[str, Argument(metavar="ID", help="As `rllib example list` gives it.")]) -> None:
    """Print the file of a tuned example."""
    from rllib_mamba.cli.examples import get_example

    print(get_example(name).file.read_text(), end="")


@example_app.command("run")
@takes_options(TrainOptions, without=("algo", "config"))
def example_run(
    name: Annotated[str, Argument(metavar="ID", help="As `rllib example list` gives it.")], options: TrainOptions
) -> None:
    """Train a tuned example; options override it."""
    from rllib_mamba.cli.examples import get_example
    from rllib_mamba.cli.train import train as run

    raise typer.Exit(run(options, get_example(name).file))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command with `arguments` (default: those of the process) and returns its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    # Environments and configurations are often modules of the folder one works in.
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    verbose = sum(argument.count("v") for argument in given if argument in ("-v", "-vv", "-vvv"))
    try:
        code = typer.main.get_command(app).main(args=given, prog_name="rllib", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except CommandError as error:
        return _failed(error, error.exit_code, str(error), verbose)
    except typer.Exit as error:
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        print("rllib: interrupted.", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        usage_code = getattr(error, "exit_code", None)
        format_message = getattr(error, "format_message", None)
        if usage_code is not None and format_message is not None:
            # Help was shown in place of a message where a command was given nothing at all.
            message = format_message()
            return _failed(error, usage_code, message, verbose) if message else usage_code
        return _failed(error, FAILURE, f"{type(error).__name__}: {error}", verbose)


def _failed(error: BaseException, code: int, message: str, verbose: int) -> int:
    if verbose > 1:
        traceback.print_exception(error)
    print(f"rllib: {one_line(message)}", file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
