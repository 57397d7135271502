"""`stillhouse verify`: measure the verifiers and the judge; `verify check` is another name of `grade`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stillhouse.cli.grade import grade
from stillhouse.cli.output import json_option, print_json, require_project

if TYPE_CHECKING:
    from stillhouse.verify.audit import Outcome
    from stillhouse.verify.judge_audit import Interval

JUDGE_OF_RUN = "verify.judge.model"  # no id of a teacher has a dot


@click.group()
def verify() -> None:
    """Measure the errors of the verifiers and of a judge."""


verify.add_command(grade, "check")


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
    help="Ask a judge the golden questions instead; without an id the judge of the run.",
)
@json_option("errors", "verifiers (with --judge: judge, kinds)")
def audit(cases: Path | None, workers: int | None, judge: str | None, json: bool) -> None:
    """Run the golden cases and count the verifiers' errors.

    A golden case is an answer with a known verdict. Prints each error, and by verifier the false accepts, false
    rejects and ungradable answers. Exit code 1 if there is a false accept.

    With --judge a model is asked about right and wrong answers to golden questions. Prints each error, and by kind of
    question precision (the share of right answers among the accepted ones) and recall (the share of right answers that
    are accepted).
    """
    if judge is not None:
        _audit_judge(cases, judge, json)
        return
    import asyncio

    from stillhouse.progress import Progress
    from stillhouse.verify.audit import GOLDEN, load_cases, run_cases, summary

    folder = cases or GOLDEN
    total = len(load_cases(folder))
    with Progress("verify audit", total) as progress:
        outcomes = asyncio.run(run_cases(folder, workers or os.cpu_count() or 1, progress.advance))
    errors = [outcome for outcome in outcomes if outcome.right != outcome.said]
    figures = summary(outcomes)
    if json:
        print_json({"errors": [_as_dict(error) for error in errors], "verifiers": figures})
    else:
        for error in errors:
            click.echo(
                f"{error.verifier}: {error.why}: {error.right} is right, the verdict is {error.said} "
                f"({error.evidence})"
            )
        names = ("cases", "right_answers", "false_accepts", "false_rejects", "ungradable")
        click.echo(f"{'':<20}" + "".join(f"{name.replace('_', ' '):>15}" for name in names))
        for verifier, part in figures.items():
            click.echo(f"{verifier:<20}" + "".join(f"{part[name]:>15,}" for name in names))
    if any(part["false_accepts"] for part in figures.values()):
        raise click.exceptions.Exit(1)


def _as_dict(outcome: "Outcome") -> dict[str, str]:
    return {
        "verifier": outcome.verifier,
        "case": outcome.why,
        "right": outcome.right,
        "verdict": outcome.said,
        "evidence": outcome.evidence,
    }


def _audit_judge(cases: Path | None, judge: str, json: bool) -> None:
    import asyncio

    from stillhouse import plugins
    from stillhouse.params.load import load_run, load_teacher
    from stillhouse.verify.judge_audit import QUESTIONS, load_questions, question_judge, summary

    require_project()
    run = load_run()
    plugins.load(run.plugins)
    questions = load_questions(cases / QUESTIONS.name if cases else QUESTIONS)
    model = run.verify.judge.model if judge == JUDGE_OF_RUN else judge
    spec = load_teacher(model).teacher
    judged = asyncio.run(
        question_judge(model, spec, questions, run.verify.threshold, title="audit judge")
    )
    errors = [
        one for one in judged if one.accepted is None or one.accepted != (one.worth == "right")
    ]
    figures = summary(judged)
    if json:
        print_json(
            {
                "judge": model,
                "errors": [error._asdict() for error in errors],
                "kinds": {kind: part.as_dict() for kind, part in figures.items()},
            }
        )
        return
    for one in errors:
        verdict = {None: "unreadable", True: "accepted", False: "refused"}[one.accepted]
        click.echo(f"{one.kind}: {one.worth} answer {verdict}: {one.answer!r} ({one.evidence})")
    click.echo(
        f"{'':<10}{'right accepted':>16}{'wrong accepted':>16}{'injections':>14}{'unreadable':>12}"
        f"{'precision':>26}{'recall':>26}"
    )
    for kind, part in figures.items():
        click.echo(
            f"{kind:<10}{f'{part.accepted_right} of {part.right}':>16}"
            f"{f'{part.accepted_wrong} of {part.wrong}':>16}"
            f"{f'{part.accepted_injections} of {part.injections}':>14}{part.unreadable:>12}"
            f"{_interval(part.precision):>26}{_interval(part.recall):>26}"
        )


def _interval(found: "Interval | None") -> str:
    if found is None:
        return "nothing accepted"
    return f"{100 * found.share:.1f} % [{100 * found.low:.1f}, {100 * found.high:.1f}]"
