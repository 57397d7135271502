"""`stillhouse grade`: grade a file of answers without the pipeline."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stillhouse.cli.output import json_option, print_json

if TYPE_CHECKING:
    from stillhouse.cli.answers import Summary
    from stillhouse.params.verify import Verify

NO_JUDGE = "none"
STATES = ("pass", "fail", "ungradable")


@click.command()
@click.argument("source", metavar="IN.jsonl", type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    metavar="OUT.jsonl",
    type=click.Path(path_type=Path),
    help="File of verdicts to write.",
)
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
    help="Model to ask where verify.judge of params.yaml requires the judge.",
)
@json_option("out", "states", "bad_rows")
def grade(
    source: Path, out: Path, isolation: str | None, workers: int | None, judge: str, json: bool
) -> None:
    """Grade the answers in a file of JSON lines.

    \b
    A line: {id, category, prompt, response, ground_truth?, language?,
             tests?: [{kind: "assert", code} | {kind: "stdio", input, output}],
             setup?, entry_point?, constraints?: [{id, kwargs}],
             verifier?: name of a plugin's verifier}
    gives:  {id, score, state, reason, verifier, evidence, answer}

    The output keeps the order of the input. A response without think tags counts as the answer. Invalid lines are
    reported and graded `ungradable` (reason bad_row). The limits are those of params.yaml where there is one.
    """  # noqa: D301  # click reads the control character
    import asyncio

    from stillhouse.cli.answers import MAX_SHOWN, AnswersError
    from stillhouse.files import lines
    from stillhouse.progress import Progress

    try:
        total = sum(1 for _ in lines(source))
    except OSError as error:
        raise AnswersError(f"{source}: {error.strerror}") from None
    params = _params(isolation)
    with Progress(f"grade {source.name}", total) as progress:
        summary = asyncio.run(
            _grade(source, out, params, judge, workers or os.cpu_count() or 1, progress)
        )
    for line in summary.bad[:MAX_SHOWN]:
        click.echo(line, err=True)
    if len(summary.bad) > MAX_SHOWN:
        click.echo(
            f"and {len(summary.bad) - MAX_SHOWN} more bad rows: reason bad_row in {out}", err=True
        )
    if json:
        print_json({"out": out, "states": _states(summary), "bad_rows": summary.bad})
        return
    click.echo(f"{'':<12}" + "".join(f"{state:>12}" for state in STATES))
    for category, counts in _states(summary).items():
        click.echo(f"{category:<12}" + "".join(f"{counts[state]:>12,}" for state in STATES))
    click.echo(f"wrote {out}")


def _states(summary: "Summary") -> dict[str, dict[str, int]]:
    return {
        category: {state: counts[state] for state in STATES}
        for category, counts in sorted(summary.states.items())
    }


def _params(isolation: str | None) -> "Verify":
    from stillhouse import plugins
    from stillhouse.cli.answers import DEFAULTS
    from stillhouse.params.files import PARAMS_FILE
    from stillhouse.params.load import load_run

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


async def _grade(
    source: Path, out: Path, params: "Verify", judge: str, workers: int, progress: Any
) -> "Summary":
    from contextlib import AsyncExitStack

    from stillhouse.cli.answers import grade_file
    from stillhouse.verify.grade import Grader

    async with AsyncExitStack() as stack:
        model = None
        if judge != NO_JUDGE:
            from stillhouse.models.judge import opened_judge
            from stillhouse.params.load import load_teacher

            spec = load_teacher(judge).teacher
            model = await stack.enter_async_context(opened_judge(judge, spec))
        grader = Grader(params, model, workers=workers)
        stack.push_async_callback(grader.close)
        return await grade_file(source, out, grader, progress.advance)
