"""`rllib example`: the tuned examples, in the source tree as in an installed package."""

import ast
from dataclasses import dataclass
from pathlib import Path

import rllib_mamba
from rllib_mamba.cli.errors import CommandError, UsageError, did_you_mean, one_line


@dataclass(frozen=True)
class Example:
    """A tuned example: `name` is `<algorithm>/<environment>`, `summary` the first line of what it says of itself."""

    name: str
    file: Path
    summary: str


def examples_folder() -> Path:
    """Returns the folder of the tuned examples. Raises CommandError where the installation has none."""
    package = Path(rllib_mamba.__file__).parent
    # Beside the package in a source tree, inside it in an installation.
    for folder in (package / "tuned_examples", package.parent / "tuned_examples"):
        if folder.is_dir():
            return folder
    raise CommandError(f"this installation has no tuned examples: there is no folder {package / 'tuned_examples'}.")


def find_examples(text: str = "") -> list[Example]:
    """Returns the examples whose name or summary contains `text`, sorted by name."""
    folder = examples_folder()
    examples = []
    for file in sorted(folder.glob("*/*.py")):
        if file.stem.startswith("_"):
            continue
        name = file.relative_to(folder).with_suffix("").as_posix()
        documentation = ast.get_docstring(ast.parse(file.read_text())) or ""
        examples.append(Example(name, file, one_line(documentation.split("\n\n")[0])))
    return [example for example in examples if text.lower() in f"{example.name} {example.summary}".lower()]


def get_example(name: str) -> Example:
    """Returns the example called `name`. Raises UsageError that names the nearest."""
    examples = {example.name: example for example in find_examples()}
    if name not in examples:
        raise UsageError(f"there is no example {name!r}.{did_you_mean(name, examples)} See `rllib example list`.")
    return examples[name]


def list_examples(text: str) -> int:
    """Prints the examples that contain `text`; returns the exit code."""
    examples = find_examples(text)
    if not examples:
        raise CommandError(f"no example contains {text!r}." if text else "there are no examples.")
    width = max(len(example.name) for example in examples)
    for example in examples:
        print(f"{example.name.ljust(width)}  {example.summary}")
    return 0
