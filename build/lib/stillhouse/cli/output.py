"""What the commands share: `--json`, which prints one JSON document on stdout, and the check for a project folder.

With `--json` stdout has the document and nothing else. Progress and errors are on stderr; exit codes do not change.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from stillhouse.errors import StillhouseError

CommandT = TypeVar("CommandT", bound=Callable[..., Any])
JSON_HELP = "Print one JSON document with the keys "


class ProjectError(StillhouseError):
    """A command that needs a project is run outside of one."""


def json_option(*keys: str) -> Callable[[CommandT], CommandT]:
    """Return the option `--json`; `keys` are the top-level keys of the document, for the help."""
    return click.option("--json", is_flag=True, help=f"{JSON_HELP}{', '.join(keys)}.")


def print_json(document: dict[str, Any]) -> None:
    """Print a document. Structs and dataclasses become objects, paths become text; NaN becomes null."""
    import msgspec

    encoded = msgspec.json.encode(document, enc_hook=str)
    click.echo(msgspec.json.format(encoded, indent=2).decode())


def require_project() -> None:
    """Raise an error unless the current folder holds a run.

    Raises:
        ProjectError: there is no params.yaml here.
    """
    if not Path("params.yaml").is_file():
        raise ProjectError(f"{Path.cwd()}: no params.yaml here; run inside the project folder")
