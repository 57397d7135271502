"""`stillhouse plan`: what the generate stage would still ask and cost, before anything is spent."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from stillhouse.distill.plan import Plan
    from stillhouse.models.journal import Journal
    from stillhouse.params import RunParams, TeacherFile

QUERIES = Path("data/queries/curated")


@click.command()
@click.argument("teachers", nargs=-1, metavar="[TEACHER]...")
def plan(teachers: tuple[str, ...]) -> None:
    """Count requests, tokens and cost still to come.

    Without arguments for all teachers of the run. Nothing is asked; answers in the journal are counted as paid. The
    judge's requests are not counted.
    """
    import asyncio

    from stillhouse.models.journal import Journal
    from stillhouse.params import load_run, load_teacher

    run = load_run()
    with Journal.open() as journal:
        for number, teacher in enumerate(teachers or run.teacher_ids):
            if number:
                click.echo()
            file = load_teacher(teacher)
            if file.teacher.engine == "replay":
                source = file.teacher.replay_source
                click.echo(
                    f"{teacher}: a replay of {source}; no model is asked, and nothing is paid"
                )
                continue
            found = asyncio.run(_plan(teacher, file, run, journal))
            for line in _lines(teacher, file, run, found):
                click.echo(line)


async def _plan(teacher: str, file: "TeacherFile", run: "RunParams", journal: "Journal") -> "Plan":
    from stillhouse.distill.plan import plan as plan_of
    from stillhouse.models.build import ModelRoom
    from stillhouse.records import Query
    from stillhouse.tables import read_table

    room = ModelRoom(journal)
    try:
        engine = room.model(teacher, file.teacher, file.runtime, "teacher").engine
        queries = read_table(QUERIES, Query)
        return await plan_of(
            teacher, file.teacher, engine, journal, queries, run.generate, run.run.seed
        )
    finally:
        await room.close()


def _lines(teacher: str, file: "TeacherFile", run: "RunParams", found: "Plan") -> Iterator[str]:
    price = file.teacher.price
    kept_cost = f", ${found.cost_kept(price):,.2f}" if price else ""
    how = "" if found.counted else " (estimated: 4 characters a token)"
    most = run.generate.max_attempts
    yield f"{teacher} ({file.teacher.label}): {found.queries:,} queries, up to {most} attempts each"
    yield (
        f"  in the journal    {found.kept:,} answers: {found.kept_prompt_tokens:,} prompt and "
        f"{found.kept_completion_tokens:,} completion tokens{kept_cost}"
    )
    yield f"  requests to come  at least {found.at_least:,}, at most {found.at_most:,}"
    yield (
        f"  tokens at most    {found.prompt_tokens_at_most:,.0f} prompt{how} and "
        f"{found.completion_tokens_at_most:,} completion"
    )
    if found.usual_completion is not None:
        yield f"                    answers so far had {found.usual_completion:,.0f} completion tokens"
    if price is None:
        yield "  cost              unknown: set teacher.price (dollars per million tokens)"
        return
    usual = found.cost_as_kept(price)
    as_so_far = "" if usual is None else f"; ${usual:,.2f} with answers as long as so far"
    yield f"  cost at most      ${found.cost_at_most(price):,.2f}{as_so_far}"
    budget = file.runtime.budget
    if budget is not None:
        limits = [f"{budget.tokens:,} tokens"] if budget.tokens else []
        limits += [f"${budget.cost:,.2f}"] if budget.cost else []
        yield f"  budget            {', '.join(limits)} (runtime.budget)"
