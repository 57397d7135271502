"""`stillhouse plan`: what the generate stage would still ask and cost, before anything is spent."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from stillhouse.distill.plan import Account, Plan
    from stillhouse.models.journal import Journal
    from stillhouse.params import Price, RunParams, TeacherFile
    from stillhouse.records import Query

QUERIES = Path("data/queries/curated")


@click.command()
@click.argument("teachers", nargs=-1, metavar="[TEACHER]...")
def plan(teachers: tuple[str, ...]) -> None:
    """Count requests, tokens and cost still to come.

    Without arguments for all teachers of the run. Nothing is asked; answers in the journal are counted as paid. What
    the judge is asked about a teacher's answers has a line of its own.
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
            if file.teacher.replay and file.teacher.replay.kind == "hub":
                click.echo(
                    f"{teacher}: a replay of {file.teacher.replay_source}, which is fetched when it is run; "
                    "no teacher is asked, but the judge about its answers"
                )
                continue
            judge = load_teacher(run.verify.judge.model)
            found = asyncio.run(_plan(teacher, file, judge, run, journal))
            for line in _lines(teacher, file, judge, run, found):
                click.echo(line)


async def _plan(
    teacher: str, file: "TeacherFile", judge: "TeacherFile", run: "RunParams", journal: "Journal"
) -> "Plan":
    from functools import partial

    from stillhouse.distill.plan import plan as plan_of
    from stillhouse.models.build import ModelRoom
    from stillhouse.verify.grade import judge_requests

    room = ModelRoom(journal)
    try:
        engine = room.model(teacher, file.teacher, file.runtime, "teacher", _queries).engine
        return await plan_of(
            teacher,
            file.teacher,
            engine,
            journal,
            _queries(),
            run.generate,
            run.run.seed,
            judge=run.verify.judge.model,
            judge_spec=judge.teacher,
            judge_engine=room.model(
                run.verify.judge.model, judge.teacher, judge.runtime, "judge"
            ).engine,
            asks=partial(judge_requests, run.verify),
        )
    finally:
        await room.close()


def _queries() -> "Iterator[Query]":
    from stillhouse.records import Query
    from stillhouse.tables import read_table

    return read_table(QUERIES, Query)


def _lines(
    teacher: str, file: "TeacherFile", judge: "TeacherFile", run: "RunParams", found: "Plan"
) -> Iterator[str]:
    price = file.teacher.price
    kept_cost = f", ${found.cost_kept(price):,.2f}" if price else ""
    most = run.generate.max_attempts
    yield f"{teacher} ({file.teacher.label}): {found.queries:,} queries, up to {most} attempts each"
    replayed = file.teacher.engine == "replay"
    yield (
        f"  {'to be replayed ' if replayed else 'in the journal '}   {found.kept:,} answers: "
        f"{found.kept_prompt_tokens:,} prompt and {found.kept_completion_tokens:,} completion tokens{kept_cost}"
    )
    if not replayed:
        yield f"  requests to come  at least {found.at_least:,}, at most {found.at_most:,}"
        yield f"  tokens at most    {_tokens(found)}"
        if found.usual_completion is not None:
            yield f"                    answers so far had {found.usual_completion:,.0f} completion tokens"
        yield f"  cost at most      {_cost(found, price) or _unknown(teacher)}"
    if found.judge.kept or found.judge.at_most:
        yield (
            f"  judge             {found.judge.kept:,} answers in the journal, "
            f"at most {found.judge.at_most:,} to come: {_tokens(found.judge)}"
        )
        cost = _cost(found.judge, judge.teacher.price)
        yield f"                    cost at most {cost or _unknown(run.verify.judge.model)}"
    budget = file.runtime.budget
    if budget is not None:
        limits = [f"{budget.tokens:,} tokens"] if budget.tokens else []
        limits += [f"${budget.cost:,.2f}"] if budget.cost else []
        yield f"  budget            {', '.join(limits)} (conf/runtime.yaml)"


def _tokens(account: "Account") -> str:
    how = "" if account.counted else " (estimated: 4 characters a token)"
    return (
        f"{account.prompt_tokens_at_most:,.0f} prompt{how} and "
        f"{account.completion_tokens_at_most:,} completion"
    )


def _cost(account: "Account", price: "Price | None") -> str | None:
    if price is None:
        return None
    usual = account.cost_as_kept(price)
    as_so_far = "" if usual is None else f"; ${usual:,.2f} with answers as long as so far"
    return f"${account.cost_at_most(price):,.2f}{as_so_far}"


def _unknown(teacher: str) -> str:
    return (
        f"unknown: set teacher.price in conf/teachers/{teacher}.yaml (dollars per million tokens)"
    )
