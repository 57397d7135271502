"""The `stillhouse` command: check a project, grade answers, follow one row, and publish or fetch data sets.

The pipeline itself is `dvc repro`. Modules of commands are loaded when their command is used, and import libraries
inside the function that needs them: `stillhouse --help` must be fast.
"""

import importlib
from typing import Any

import click

from stillhouse.errors import StillhouseError
from stillhouse.extras import missing_extra

_COMMANDS = {
    "check": "stillhouse.cli.check:check",
    "doctor": "stillhouse.cli.doctor:doctor",
    "grade": "stillhouse.cli.grade:grade",
    "init": "stillhouse.cli.init:init",
    "journal": "stillhouse.cli.journal:journal",
    "params": "stillhouse.cli.check:params",
    "plan": "stillhouse.cli.plan:plan",
    "publish": "stillhouse.cli.publish:publish",
    "pull": "stillhouse.cli.pull:pull",
    "queries": "stillhouse.cli.queries:queries",
    "release": "stillhouse.cli.release:release",
    "repro": "stillhouse.cli.repro:repro",
    "serve": "stillhouse.cli.serve:serve",
    "show": "stillhouse.cli.show:show",
    "verify": "stillhouse.cli.verify:verify",
}
# `compare` and `audit` are kept free at the top level: they are to work on released data sets.


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
        except ModuleNotFoundError as error:
            line = missing_extra(error)
            if line is None:
                raise
            click.echo(line, err=True)
            ctx.exit(2)


# Without `allow_from_autoenv` a variable STILLHOUSE_VERSION, which an image may set, would be read as --version.
@click.group(cls=_StillhouseGroup, context_settings={"auto_envvar_prefix": "STILLHOUSE"})
@click.version_option(package_name="stillhouse", allow_from_autoenv=False)
def main() -> None:
    """Check a stillhouse project, grade answers, and publish or fetch data sets. Run inside the project folder."""
