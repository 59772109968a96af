"""Entry point of the `rllib` command. Nothing heavy is imported before a command runs."""

import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument

from rllib_mamba.cli.errors import FAILURE, INTERRUPTED, CommandError, one_line
from rllib_mamba.cli.options import TrainOptions, takes_options

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
            return _failed(error, usage_code, format_message(), verbose)
        return _failed(error, FAILURE, f"{type(error).__name__}: {error}", verbose)


def _failed(error: BaseException, code: int, message: str, verbose: int) -> int:
    if verbose > 1:
        traceback.print_exception(error)
    print(f"rllib: {one_line(message)}", file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
