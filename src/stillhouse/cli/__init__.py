"""The `stillhouse` command: look at a project, check it, and follow one row through it.

It never runs the pipeline (that is `dvc repro`) and writes nothing but what `pull` fetches, `release` exports and
`verify` grades, and the log of `serve`.
Command modules are loaded when they are asked for and import libraries inside the function that needs them, so that
`--help` answers at once.
"""

import importlib
from typing import Any

import click

from stillhouse.errors import StillhouseError

_COMMANDS = {
    "doctor": "stillhouse.cli.doctor:doctor",
    "journal": "stillhouse.cli.journal:journal",
    "params": "stillhouse.cli.params_check:params",
    "plan": "stillhouse.cli.plan:plan",
    "pull": "stillhouse.cli.pull:pull",
    "release": "stillhouse.cli.release:release",
    "serve": "stillhouse.cli.serve:serve",
    "show": "stillhouse.cli.show:show",
    "verify": "stillhouse.cli.verify:verify",
}


class _StillhouseGroup(click.Group):
    """A group that loads a command by name and turns an expected error into its lines on stderr and exit code 2."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except StillhouseError as error:
            click.echo(str(error), err=True)
            ctx.exit(2)


@click.group(cls=_StillhouseGroup)
@click.version_option(package_name="stillhouse")
def main() -> None:
    """Check a stillhouse project and follow one row through it. Run inside the project folder."""
