"""Ask one teacher every query, again and again until an answer is verified or a stop rule ends it."""

import asyncio

import click

from stillhouse import layout
from stillhouse.files import write_json
from stillhouse.generate.run import Generation, generate
from stillhouse.journal.journal import Journal
from stillhouse.package.licenses import refuse_teacher
from stillhouse.params.generate import Generate
from stillhouse.params.load import load_package
from stillhouse.params.stage import StageParams, load_stage
from stillhouse.params.verify import Verify
from stillhouse.stage import stage_command


@stage_command
@click.argument("teacher")
def main(teacher: str) -> None:
    """Write data/responses/TEACHER: every attempt, accepted or not."""
    params = load_stage()
    # Read without being tracked: the licences can only end the stage before anything is paid, and change no out.
    package = load_package()
    refuse_teacher(
        teacher, params.teacher(teacher).license, package.license, package.allow_licenses
    )
    run(teacher, params)


def run(teacher: str, params: StageParams) -> None:
    """Run the stage with the parameters that it tracks."""
    verify = params.section(Verify, "verify")
    generation = Generation(
        teacher,
        spec=params.teacher(teacher),
        judge=params.teacher(verify.judge.model),
        rules=params.section(Generate, "generate"),
        verify=verify,
        run_seed=params.read(int, "run.seed"),
    )
    with Journal.open() as journal:
        metrics, effort = asyncio.run(generate(generation, journal))
    write_json(layout.metrics("generate", teacher), metrics)
    write_json(layout.effort(teacher), effort)


if __name__ == "__main__":
    main()
