"""What the tests of `--json` share."""

import json
from typing import Any

import click
from click.testing import CliRunner

from stillhouse.cli import main
from stillhouse.cli.output import JSON_HELP


def document(
    *arguments: str, exit_code: int = 0, keys: tuple[str, ...] | None = None
) -> dict[str, Any]:
    """Run a command with --json and return the document on stdout.

    Args:
        arguments: the command, and its arguments without --json.
        exit_code: expected exit code.
        keys: expected top-level keys; by default those that the help of --json lists.
    """
    done = CliRunner().invoke(main, [*arguments, "--json"])
    assert done.exit_code == exit_code, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    assert sorted(found) == sorted(keys or documented_keys(arguments))
    return found


def documented_keys(arguments: tuple[str, ...]) -> list[str]:
    """Return the keys in the help of the command's --json."""
    command: click.Command = main
    for name in arguments:
        if not isinstance(command, click.Group):
            break
        child = command.get_command(click.Context(command), name)
        assert child is not None
        command = child
    (option,) = (option for option in command.params if option.name == "json")
    assert isinstance(option, click.Option)
    assert option.help is not None
    return option.help.removeprefix(JSON_HELP).removesuffix(".").split(", ")
