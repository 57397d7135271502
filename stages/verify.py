"""The authoritative verdict on every attempt of one teacher."""

import asyncio

import click

from stillhouse import layout
from stillhouse.files import write_json
from stillhouse.journal.journal import Journal
from stillhouse.params.stage import StageParams, load_stage
from stillhouse.params.verify import Verify
from stillhouse.stage import stage_command
from stillhouse.verify.attempts import grade_all


@stage_command
@click.argument("teacher")
def main(teacher: str) -> None:
    """Write data/verdicts/TEACHER."""
    run(teacher, load_stage())


def run(teacher: str, params: StageParams) -> None:
    """Run the stage with the parameters that it tracks."""
    verify = params.section(Verify, "verify")
    judge = params.teacher(verify.judge.model)
    with Journal.open() as journal:
        tally = asyncio.run(grade_all(teacher, verify, judge, journal))
    write_json(layout.metrics("verify", teacher), tally.metrics())


if __name__ == "__main__":
    main()
