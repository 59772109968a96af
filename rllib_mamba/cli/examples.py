"""`rllib example`: the tuned examples, in the source tree as in an installed package."""

import ast
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import rllib_mamba
from rllib_mamba.cli.errors import CommandError, UsageError, did_you_mean, one_line

_BUDGETS = {"num_env_steps_sampled_lifetime": "env steps", "training_iteration": "iterations"}


@dataclass(frozen=True)
class Example:
    """A tuned example: `name` is `<algorithm>/<environment>`, `summary` the first line of what it says of itself.

    `budget` is where it stops, as text; empty where its `stop` is computed or counts nothing.
    """

    name: str
    file: Path
    summary: str
    budget: str = ""


def examples_folder() -> Path:
    """Returns the folder of the tuned examples. Raises CommandError where the installation has none."""
    package = Path(rllib_mamba.__file__).parent
    # Beside the package in a source tree, inside it in an installation.
    for folder in (package / "tuned_examples", package.parent / "tuned_examples"):
        if folder.is_dir():
            return folder
    raise CommandError(f"this installation has no tuned examples: there is no folder {package / 'tuned_examples'}.")


def find_examples(text: str = "", folder: Path | None = None) -> list[Example]:
    """Returns the examples in `folder` (default: those of the package) whose name or summary contains `text`, sorted.

    They are read, not run: a broken one is listed with what is wrong with it.
    """
    folder = folder or examples_folder()
    files = [file for file in sorted(folder.glob("*/*.py")) if not file.stem.startswith("_")]
    examples = [_read(file, file.relative_to(folder).with_suffix("").as_posix()) for file in files]
    return [example for example in examples if text.lower() in f"{example.name} {example.summary}".lower()]


def get_example(name: str) -> Example:
    """Returns the example called `name`. Raises UsageError that names the nearest."""
    examples = {example.name: example for example in find_examples()}
    if name not in examples:
        raise UsageError(f"there is no example {name!r}.{did_you_mean(name, examples)} See `rllib example list`.")
    return examples[name]


def list_examples(text: str) -> int:
    """Prints the examples that contain `text`, one a line; returns the exit code."""
    examples = find_examples(text)
    if not examples:
        raise CommandError(f"no example contains {text!r}." if text else "there are no examples.")
    names = max(len(example.name) for example in examples)
    budgets = max(len(example.budget) for example in examples)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for example in examples:
        line = f"{example.name.ljust(names)}  {example.budget.rjust(budgets)}  {example.summary}"
        print(line if width is None or len(line) <= width else f"{line[: width - 3]}...")
    return 0


def _read(file: Path, name: str) -> Example:
    try:
        tree = ast.parse(file.read_text())
    except (SyntaxError, UnicodeDecodeError) as error:
        line = getattr(error, "lineno", None)
        return Example(name, file, f"(broken: {error}{f', line {line}' if line and 'line' not in str(error) else ''})")
    documentation = ast.get_docstring(tree) or ""
    return Example(name, file, one_line(documentation.split("\n\n")[0]), _budget(tree))


def _budget(tree: ast.Module) -> str:
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and [ast.unparse(target) for target in statement.targets] == ["stop"]:
            try:
                stop = ast.literal_eval(statement.value)
            except ValueError:
                return ""
            counted = [f"{stop[metric]:,} {unit}" for metric, unit in _BUDGETS.items() if metric in stop]
            return ", ".join(counted)
    return ""
