"""`stillhouse queries`: the sources of a run's queries."""

import click

from stillhouse.cli.preview import preview


@click.group()
def queries() -> None:
    """Look at the sources of a run's queries."""


queries.add_command(preview)
