"""`stillhouse plan`: what a run costs and what difference its design can detect, before it runs."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from stillhouse.cli.design import SEED_SD, design_document, design_lines
from stillhouse.cli.output import json_option, print_json, require_project

if TYPE_CHECKING:
    from stillhouse.generate.plan import Account, Plan
    from stillhouse.journal.journal import Journal
    from stillhouse.params.run import RunParams
    from stillhouse.params.teacher import Price, TeacherFile, TeacherRuntime


@click.command()
@click.argument("teachers", nargs=-1, metavar="[TEACHER]...")
@click.option(
    "--seed-sd",
    type=click.FloatRange(0, 50),
    default=SEED_SD,
    show_default=True,
    help="Standard deviation of a student's mean score between trainings, in points.",
)
@json_option("teachers", "design")
def plan(teachers: tuple[str, ...], seed_sd: float, json: bool) -> None:
    """Count the requests and cost to come, and the detectable difference.

    Without arguments the plan is for all teachers of the run. No model is asked. Answers in the journal count as paid.
    Requests to the judge about a teacher's answers have a line of their own. The table of designs has the smallest
    difference between two teachers' students that is found with 80 % power, and what more seeds and items cost.
    """
    import asyncio

    from stillhouse import plugins
    from stillhouse.journal.journal import Journal
    from stillhouse.params.load import load_run, load_teacher

    require_project()
    run = load_run()
    plugins.load(run.plugins)
    judge = load_teacher(run.verify.judge.model)
    documents = []
    with Journal.open() as journal:
        for number, teacher in enumerate(teachers or run.teacher_ids):
            file = load_teacher(teacher)
            on_hub = file.teacher.replay is not None and file.teacher.replay.kind == "hub"
            found = None if on_hub else asyncio.run(_plan(teacher, file, judge, run, journal))
            documents.append(_document(teacher, file, judge, run, found))
            if not json:
                click.echo(
                    "\n" * bool(number) + "\n".join(_lines(teacher, file, judge, run, found))
                )
    design = design_document(run, seed_sd)
    if json:
        print_json({"teachers": documents, "design": design})
    elif design is not None:
        click.echo("\n" + "\n".join(design_lines(design)))


async def _plan(
    teacher: str, file: "TeacherFile", judge: "TeacherFile", run: "RunParams", journal: "Journal"
) -> "Plan":
    from functools import partial

    from stillhouse.generate.asked import asked_queries
    from stillhouse.generate.plan import plan as plan_of
    from stillhouse.models.build import ModelRoom
    from stillhouse.verify.grade import judge_requests

    queries = partial(asked_queries, file.teacher)
    async with ModelRoom(journal) as room:
        runtime = _without_key(file.runtime)
        engine = room.model(teacher, file.teacher, runtime, "teacher", queries).engine
        return await plan_of(
            teacher,
            file.teacher,
            engine,
            journal,
            queries(),
            run.generate,
            run.run.seed,
            judge=run.verify.judge.model,
            judge_spec=judge.teacher,
            judge_engine=room.model(
                run.verify.judge.model, judge.teacher, _without_key(judge.runtime), "judge"
            ).engine,
            asks=partial(judge_requests, run.verify),
        )


def _without_key(runtime: "TeacherRuntime") -> "TeacherRuntime":
    """Return a runtime that needs no API key, because a plan sends nothing."""
    return runtime.model_copy(update={"api_key_variable": None})


def _document(
    teacher: str, file: "TeacherFile", judge: "TeacherFile", run: "RunParams", found: "Plan | None"
) -> dict[str, Any]:
    """Return the plan of one teacher; `plan` and `judge` are null for a replay whose files are on the Hub."""
    budget = file.runtime.budget
    document: dict[str, Any] = {
        "teacher": teacher,
        "label": file.teacher.label,
        "replay": file.teacher.engine == "replay",
        "max_attempts": run.generate.max_attempts,
        "budget": budget and {"tokens": budget.tokens, "cost": budget.cost},
        "plan": None,
        "judge": None,
    }
    if found is not None:
        document["plan"] = {
            "queries": found.queries,
            "requests_at_least": found.at_least,
            **_account(found, file.teacher.price),
        }
        document["judge"] = {
            "teacher": run.verify.judge.model,
            **_account(found.judge, judge.teacher.price),
        }
    return document


def _account(account: "Account", price: "Price | None") -> dict[str, Any]:
    """Return the counts of one model, costs in dollars; a cost is null where the model has no price."""
    return {
        "in_journal": {
            "answers": account.kept,
            "prompt_tokens": account.kept_prompt_tokens,
            "completion_tokens": account.kept_completion_tokens,
            "cost": price and account.cost_kept(price),
        },
        "requests_at_most": account.at_most,
        "prompt_tokens_at_most": math.ceil(account.prompt_tokens_at_most),
        "prompt_tokens_estimated": not account.counted,
        "completion_tokens_at_most": account.completion_tokens_at_most,
        "cost_at_most": price and account.cost_at_most(price),
        "cost_at_the_length_so_far": price and account.cost_as_kept(price),
    }


def _lines(
    teacher: str, file: "TeacherFile", judge: "TeacherFile", run: "RunParams", found: "Plan | None"
) -> Iterator[str]:
    if found is None:
        yield (
            f"{teacher}: a replay of {file.teacher.replay_source}, which is fetched when it is run; "
            "no teacher is asked, but the judge about its answers"
        )
        return
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
