"""`stillhouse show ID`: print the history of one row, from its query to the released set."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from stillhouse.cli.output import json_option, print_json, require_project

if TYPE_CHECKING:
    from stillhouse.records import Check, Verdict
    from stillhouse.tables.lineage import AttemptHistory, Lineage, Match, TeacherLineage

Line = tuple[str, str]  # a rich style and the text

SHOWN_CHARS = 240  # of each text where all attempts are listed


@click.command()
@click.argument("row_id", metavar="ID")
@click.option(
    "--full", is_flag=True, help="Print whole texts. A response named by its id is always whole."
)
@json_option("kind", "id", "query", "rejected", "teachers")
def show(row_id: str, full: bool, json: bool) -> None:
    """Print the whole history of one row.

    ID is the id of a query, a response or a released row, or its first digits (at least 4). Of a long response the end
    is shown, which has the answer.
    """
    from rich.console import Console

    from stillhouse.params.load import load_run
    from stillhouse.tables.lineage import find, trace

    require_project()
    run = load_run()
    teacher_ids = run.teacher_ids
    found = find(row_id, teacher_ids)
    lineage = trace(found, teacher_ids)
    if json:
        print_json(_document(found, lineage))
        return
    console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
    for style, line in _lines(found, lineage, run.compared_ids, full=full):
        console.print(_printable(line), style=style)


def _document(found: "Match", lineage: "Lineage") -> dict[str, Any]:
    teachers = [
        {
            "teacher": teacher.teacher,
            "stages": sorted(teacher.stages),
            "in_parallel_set": teacher.in_parallel_set,
            "attempts": [_attempt_document(attempt) for attempt in teacher.attempts],
        }
        for teacher in lineage.teachers
    ]
    return {
        "kind": found.kind,
        "id": found.id,
        "query": lineage.query,
        "rejected": lineage.rejected,
        "teachers": teachers,
    }


def _attempt_document(attempt: "AttemptHistory") -> dict[str, Any]:
    """Return an attempt with the completion as one text, in place of its frame."""
    from stillhouse.records import to_dict

    response = to_dict(attempt.response) | {"text": attempt.response.text}
    del response["frame"]
    return attempt._asdict() | {"response": response}


def _lines(
    found: "Match", lineage: "Lineage", compared_ids: Sequence[str], *, full: bool
) -> Iterator[Line]:
    yield "bold", f"{found.kind} {found.id}"
    yield from _query_lines(lineage)
    if lineage.rejected:
        return  # no teacher was asked
    for teacher in lineage.teachers:
        yield "", ""
        yield "bold", f"teacher {teacher.teacher}"
        if not teacher.attempts:
            yield "", f"  {_none_yet(teacher, 'generate', 'no attempt at this query')}"
        for attempt in teacher.attempts:
            named = found.teacher is not None and attempt.response.attempt == found.attempt
            yield from _attempt_lines(teacher, attempt, whole=full or named)
        answer = "yes" if teacher.in_parallel_set else _none_yet(teacher, "align", "no")
        if teacher.teacher not in compared_ids:
            answer = "no, the teacher is not in compared_ids"
        yield "", f"  in the parallel set: {answer}"


def _query_lines(lineage: "Lineage") -> Iterator[Line]:
    query = lineage.query
    yield "", f"  query id: {query.id}"
    yield "", f"  category: {query.category}"
    yield "", f"  source: {query.source} ({query.license})"
    if lineage.rejected:
        rejected = lineage.rejected
        yield "red", f"  rejected by the queries stage: {rejected.reason}"
        if rejected.duplicate_of:
            yield "", f"  duplicate of: {rejected.duplicate_of}"
        if rejected.evidence:
            yield "", f"  evidence: {rejected.evidence}"
    for message in query.messages:
        yield "cyan", f"  {message.role}:"
        yield "", _indent(message.content, 4)
    for reference in query.references:
        yield "", f"  ground truth: {reference}"
    if query.tests:
        yield "", f"  tests: {len(query.tests)} ({query.language or 'python'})"
    for constraint in query.constraints:
        yield "", f"  constraint: {constraint.id} {constraint.kwargs or ''}".rstrip()


def _attempt_lines(
    teacher: "TeacherLineage", attempt: "AttemptHistory", *, whole: bool
) -> Iterator[Line]:
    response = attempt.response
    yield (
        "cyan",
        f"  attempt {response.attempt}: response {response.id}, seed {response.seed}, "
        f"finish {response.finish_reason}, {response.prompt_tokens} + {response.completion_tokens} tokens",
    )
    yield "", _indent(response.text if whole else _end(response.text), 4)
    if attempt.verdict is None:
        yield "", f"    verdict: {_none_yet(teacher, 'verify', 'none')}"
    else:
        verdict = attempt.verdict
        style = {"pass": "green", "fail": "red", "ungradable": "yellow"}[verdict.state]
        yield style, f"    verdict: {_judgement(verdict)}, by {verdict.verifier}"
        for check in verdict.checks:
            yield "", f"      {check.verifier} {check.version}: {_judgement(check)}"
            if check.evidence:
                yield "", _indent(check.evidence if whole else _head(check.evidence), 8)
    perplexity = (
        f"{attempt.perplexity.perplexity:.3f} over {attempt.perplexity.tokens} tokens"
        if attempt.perplexity
        else _none_yet(teacher, "perplexity", "not measured")
    )
    yield "", f"    perplexity: {perplexity}"
    if attempt.decision is None:
        decision = _none_yet(teacher, "filter", "none")
    else:
        decision = "kept" if attempt.decision.kept else f"dropped: {attempt.decision.reason}"
    yield "", f"    filter: {decision}"


def _judgement(verdict: "Verdict | Check") -> str:
    score = "" if verdict.score is None else f", score {verdict.score:g}"
    reason = f" ({verdict.reason})" if verdict.reason else ""
    return f"{verdict.state}{reason}{score}"


def _none_yet(teacher: "TeacherLineage", stage: str, otherwise: str) -> str:
    return otherwise if stage in teacher.stages else f"stage {stage} has not run"


def _head(text: str) -> str:
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]} [{len(text)} characters]"


def _end(text: str) -> str:
    return text if len(text) <= SHOWN_CHARS else f"[{len(text)} characters] {text[-SHOWN_CHARS:]}"


def _indent(text: str, width: int) -> str:
    return "\n".join(" " * width + line for line in text.split("\n"))


def _printable(text: str) -> str:
    """Return the text with control characters escaped, so that model output cannot control the terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)
