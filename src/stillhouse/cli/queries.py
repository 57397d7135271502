"""`stillhouse queries`: the sources of a run's queries."""

import click

from stillhouse.cli.pin import pin


@click.group()
def queries() -> None:
    """Fill in the sources of a run's queries."""


queries.add_command(pin)
