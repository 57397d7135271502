"""`stillhouse queries`: the sources of a run's queries."""

import click

from stillhouse.cli.pin import pin
from stillhouse.cli.preview import preview


@click.group()
def queries() -> None:
    """Look at the sources of a run's queries, and fill in their commits."""


queries.add_command(pin)
queries.add_command(preview)
