"""`stillhouse verify`: grade a file of answers without the pipeline, and measure the verifiers."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from stillhouse.cli.answers import Summary
    from stillhouse.params import Verify
    from stillhouse.verify.audit import Outcome
    from stillhouse.verify.judge_audit import Interval, Judged, Question

NO_JUDGE = "none"
JUDGE_OF_RUN = "verify.judge.model"  # no id of a teacher has a dot


@click.group()
def verify() -> None:
    """Grade answers, and measure how far the verifiers can be trusted."""


@verify.command()
@click.argument("source", metavar="IN.jsonl", type=click.Path(path_type=Path))
@click.option("--out", required=True, metavar="OUT.jsonl", type=click.Path(path_type=Path))
@click.option(
    "--isolation",
    type=click.Choice(["bubblewrap", "rlimits"]),
    help="What code runs in; rlimits protects neither files nor network.  [default: verify.code.isolation]",
)
@click.option(
    "--workers", type=click.IntRange(min=1), help="Worker processes.  [default: one per core]"
)
@click.option(
    "--judge",
    default=NO_JUDGE,
    show_default=True,
    metavar="none|TEACHER_ID",
    help="Model that is asked where verify.judge of params.yaml has the judge decide.",
)
def check(source: Path, out: Path, isolation: str | None, workers: int | None, judge: str) -> None:
    """Grade the answers of a file of JSON lines.

    \b
    A line: {id, category, prompt, response, ground_truth?, language?,
             tests?: [{kind: "assert", code} | {kind: "stdio", input, output}],
             setup?, entry_point?, constraints?: [{id, kwargs}],
             verifier?: the name of a plugin's}
    gives:  {id, score, state, reason, verifier, evidence, answer}

    The verdicts come in the order of the answers. A response without think tags is all answer. A line that is no answer
    is told, graded ungradable (bad_row), and the rest goes on. Limits are those of params.yaml where there is one.
    """  # noqa: D301  # click reads the control character
    import asyncio

    from stillhouse.cli.answers import MAX_SHOWN, AnswersError, lines
    from stillhouse.progress import Progress

    try:
        total = sum(1 for _ in lines(source))
    except OSError as error:
        raise AnswersError(f"{source}: {error.strerror}") from None
    params = _params(isolation)
    with Progress(f"verify {source.name}", total) as progress:
        summary = asyncio.run(
            _check(source, out, params, judge, workers or os.cpu_count() or 1, progress)
        )
    for line in summary.bad[:MAX_SHOWN]:
        click.echo(line, err=True)
    if len(summary.bad) > MAX_SHOWN:
        click.echo(
            f"and {len(summary.bad) - MAX_SHOWN} more bad rows: reason bad_row in {out}", err=True
        )
    _show(summary)
    click.echo(f"wrote {out}")


def _params(isolation: str | None) -> "Verify":
    from stillhouse import plugins
    from stillhouse.cli.answers import DEFAULTS
    from stillhouse.params import PARAMS_FILE, load_run

    found = DEFAULTS
    if Path(PARAMS_FILE).is_file():
        run = load_run()
        plugins.load(run.plugins)
        found = run.verify
    else:
        plugins.load([])  # those of installed packages
    changes = {"isolation": isolation} if isolation else {}
    code = found.code.model_copy(update=changes)
    return found.model_copy(update={"code": code, "reward": None})


async def _check(
    source: Path, out: Path, params: "Verify", judge: str, workers: int, progress: Any
) -> "Summary":
    from contextlib import AsyncExitStack

    from stillhouse.cli.answers import grade_file
    from stillhouse.verify.grade import Grader

    async with AsyncExitStack() as stack:
        model = None
        if judge != NO_JUDGE:
            from stillhouse.models.build import ModelRoom
            from stillhouse.models.journal import Journal
            from stillhouse.params import load_teacher

            file = load_teacher(judge)
            room = ModelRoom(stack.enter_context(Journal.open()))
            stack.push_async_callback(room.close)
            model = room.model(judge, file.teacher, file.runtime, "judge")
        grader = Grader(params, model, workers=workers)
        stack.push_async_callback(grader.close)
        return await grade_file(source, out, grader, progress.advance)


def _show(summary: "Summary") -> None:
    states = ("pass", "fail", "ungradable")
    click.echo(f"{'':<12}" + "".join(f"{state:>12}" for state in states))
    for category, counts in sorted(summary.states.items()):
        click.echo(f"{category:<12}" + "".join(f"{counts[state]:>12,}" for state in states))


@verify.command()
@click.option(
    "--cases",
    type=click.Path(path_type=Path),
    help="Folder of the golden cases.  [default: tests/verify/golden]",
)
@click.option(
    "--workers", type=click.IntRange(min=1), help="Worker processes.  [default: one per core]"
)
@click.option(
    "--judge",
    is_flag=False,
    flag_value=JUDGE_OF_RUN,
    metavar="[TEACHER_ID]",
    help="Ask a judge golden questions instead; without an id the judge of the run.",
)
def audit(cases: Path | None, workers: int | None, judge: str | None) -> None:
    """Run the golden cases and count the verifiers' errors.

    A golden case is an answer whose right verdict is known. Prints false accepts, false rejects and ungradable answers
    by verifier, and each error. Exit code 1 if there is a false accept.

    With --judge a model is asked about right and wrong answers to golden questions. Prints each error, and by kind of
    question precision (of what it accepts, how much is right) and recall (of what is right, how much it accepts).
    """
    if judge is not None:
        _audit_judge(cases, judge)
        return
    import asyncio

    from stillhouse.progress import Progress
    from stillhouse.verify.audit import GOLDEN, load_cases, run_cases, summary

    folder = cases or GOLDEN
    total = len(load_cases(folder))
    with Progress("verify audit", total) as progress:
        outcomes = asyncio.run(run_cases(folder, workers or os.cpu_count() or 1, progress.advance))
    for outcome in outcomes:
        if outcome.right != outcome.said:
            click.echo(_line(outcome))
    figures = summary(outcomes)
    names = ("cases", "right_answers", "false_accepts", "false_rejects", "ungradable")
    click.echo(f"{'':<20}" + "".join(f"{name.replace('_', ' '):>15}" for name in names))
    for verifier, part in figures.items():
        click.echo(f"{verifier:<20}" + "".join(f"{part[name]:>15,}" for name in names))
    if any(part["false_accepts"] for part in figures.values()):
        raise click.exceptions.Exit(1)


def _line(outcome: "Outcome") -> str:
    return f"{outcome.verifier}: {outcome.why}: {outcome.right} is right, said {outcome.said} ({outcome.evidence})"


def _audit_judge(cases: Path | None, judge: str) -> None:
    import asyncio

    from stillhouse import plugins
    from stillhouse.params import load_run
    from stillhouse.verify.judge_audit import QUESTIONS, load_questions, summary

    run = load_run()
    plugins.load(run.plugins)
    questions = load_questions(cases / QUESTIONS.name if cases else QUESTIONS)
    model = run.verify.judge.model if judge == JUDGE_OF_RUN else judge
    judged = asyncio.run(_judged(model, questions, run.verify.threshold))
    for one in judged:
        if one.accepted is None or one.accepted != (one.worth == "right"):
            said = {None: "unreadable", True: "accepted", False: "refused"}[one.accepted]
            click.echo(f"{one.kind}: {one.worth} answer {said}: {one.answer!r} ({one.evidence})")
    click.echo(
        f"{'':<10}{'right accepted':>16}{'wrong accepted':>16}{'injections':>14}{'unreadable':>12}"
        f"{'precision':>26}{'recall':>26}"
    )
    for kind, part in summary(judged).items():
        click.echo(
            f"{kind:<10}{f'{part.accepted_right} of {part.right}':>16}"
            f"{f'{part.accepted_wrong} of {part.wrong}':>16}"
            f"{f'{part.accepted_injections} of {part.injections}':>14}{part.unreadable:>12}"
            f"{_interval(part.precision):>26}{_interval(part.recall):>26}"
        )


async def _judged(judge: str, questions: "list[Question]", threshold: float) -> "list[Judged]":
    from stillhouse.models.build import ModelRoom
    from stillhouse.models.journal import Journal
    from stillhouse.params import load_teacher
    from stillhouse.progress import Progress
    from stillhouse.verify.judge_audit import answers_of, ask_all

    file = load_teacher(judge)
    with Journal.open() as journal, Progress("audit judge", answers_of(questions)) as progress:
        room = ModelRoom(journal)
        try:
            model = room.model(judge, file.teacher, file.runtime, "judge")
            return await ask_all(model, questions, threshold, progress.advance)
        finally:
            await room.close()


def _interval(found: "Interval | None") -> str:
    if found is None:
        return "nothing accepted"
    return f"{100 * found.share:.1f} % [{100 * found.low:.1f}, {100 * found.high:.1f}]"
