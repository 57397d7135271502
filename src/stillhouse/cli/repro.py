"""`stillhouse repro`: run the pipeline, with stages side by side."""

import asyncio
import signal
import sys
from pathlib import Path

import click


@click.command()
@click.option(
    "--jobs",
    "-j",
    type=click.IntRange(min=1),
    help="Stages at the same time; 1 is plain `dvc repro`. Without it, one for each GPU, else one for each core.",
)
def repro(jobs: int | None) -> None:
    """Run the pipeline, with stages side by side.

    A stage starts as soon as all that it waits for is done. On a CPU each runs with one thread; on a host with GPUs
    each gets its own GPUs. A last `dvc repro` checks that nothing is left to run.
    """
    from stillhouse.cli.output import require_project
    from stillhouse.parallel.pipeline import Pipeline
    from stillhouse.parallel.run import run_side_by_side, settle
    from stillhouse.parallel.slots import slots_of_machine
    from stillhouse.parallel.view import StageView

    require_project()
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # ignored where a shell starts us in the background
    slots = slots_of_machine(jobs)
    if slots.jobs > 1:
        pipeline = Pipeline(Path())
        try:
            with StageView() as view:
                asyncio.run(run_side_by_side(pipeline, slots, view))
        except KeyboardInterrupt:
            click.echo("interrupted; run the same command to go on", err=True)
            sys.exit(130)
    sys.exit(settle())
