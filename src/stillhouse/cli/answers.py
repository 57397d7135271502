"""Grading of answer files: read JSON lines as a stream and write one verdict per line, in the same order."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from stillhouse.errors import StillhouseError
from stillhouse.files import lines, partial
from stillhouse.generate.reasoning import split
from stillhouse.models.engine import Completion
from stillhouse.params.verify import CodeLimits, JudgePolicy, Verify
from stillhouse.plugins import PluginError
from stillhouse.queries.constraints import constraints_of
from stillhouse.records import (
    Category,
    CodeTest,
    Message,
    Query,
    Response,
    frame_of,
    ground_truth_of,
)
from stillhouse.verify.custom import find_verifier
from stillhouse.verify.grade import Grader

# Rows that are read ahead of the first one without a verdict, so that workers are busy while one row is slow.
WINDOW = 1000
BAD_ROW = "bad_row"
MAX_SHOWN = 20  # bad rows that are printed one by one

# The limits of the committed params.yaml, for grading outside a project.
DEFAULTS = Verify(
    threshold=0.9,
    judge=JudgePolicy(model="none", math="unread_only", science="unread_only"),
    item_cpu_seconds=10.0,
    code=CodeLimits(
        isolation="bubblewrap",
        max_tests=10,
        test_seconds=5.0,
        total_seconds=20.0,
        memory_mb=1024,
        packages=["numpy", "pandas", "scipy", "sympy", "networkx", "sortedcontainers"],
    ),
)


class AnswersError(StillhouseError):
    """The file of answers cannot be read, or the file of verdicts cannot be written."""


class AnswerRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the input: an answer and what is needed to grade it. Other fields are ignored."""

    id: str
    category: Category
    prompt: str
    response: str
    ground_truth: str | int | float | list[str | int | float] | None = None
    language: Literal["python", "cpp"] | None = None
    tests: list[CodeTest] | None = None
    setup: str | None = None
    entry_point: str | None = None
    constraints: list[dict[str, Any]] | None = None
    verifier: str | None = None
    instruction_id_list: list[str] | None = None
    kwargs: list[dict[str, Any] | None] | None = None


class GradedRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the output.

    `score` is null if `state` is ungradable, `id` if the line had none, and `answer` (what the deciding verifier
    compared) if it read none.
    """

    id: str | None
    score: float | None
    state: str
    reason: str | None
    verifier: str
    evidence: str
    answer: str | None = None


class Summary(NamedTuple):
    """Counts of states by category (`bad_row` for invalid lines), and the faults of the invalid lines."""

    states: dict[str, Counter[str]]
    bad: list[str]


async def grade_file(
    source: Path, out: Path, grader: Grader, progress: Callable[[], None] = lambda: None
) -> Summary:
    """Grade all lines of a file.

    Args:
        source: the file of answers, JSON lines of `AnswerRow`.
        out: the file of verdicts, JSON lines of `GradedRow`; it appears when all lines are graded.
        grader: grades each answer.
        progress: called after each line.

    Raises:
        AnswersError: a file cannot be read or written.
        SandboxError: code must be run and cannot be isolated as required.
    """
    if not out.parent.is_dir():
        raise AnswersError(f"{out.parent}: No such file or directory")
    summary = Summary({}, [])
    pending: list[asyncio.Task[tuple[str, GradedRow]]] = []
    try:
        with partial(out) as new, new.open("wb") as sink:

            async def put_first() -> None:
                category, row = await pending.pop(0)
                sink.write(msgspec.json.encode(row) + b"\n")
                summary.states.setdefault(category, Counter())[row.state] += 1
                progress()

            for number, line in lines(source):
                graded = _graded(grader, f"{source}:{number}", line, summary.bad)
                pending.append(asyncio.create_task(graded))
                if len(pending) == WINDOW:
                    await put_first()
            while pending:
                await put_first()
    except OSError as error:
        raise AnswersError(f"{error.filename or out}: {error.strerror or error}") from None
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
    return summary


async def grade_rows(
    rows: Iterable[Mapping[str, Any]], grader: Grader
) -> AsyncIterator[dict[str, Any]]:
    """Yield the verdict on each row, in their order; an invalid row is ungradable with the reason `bad_row`."""
    pending: list[asyncio.Task[tuple[str, GradedRow]]] = []
    try:
        for number, row in enumerate(rows, start=1):
            line = msgspec.json.encode(row)
            pending.append(asyncio.create_task(_graded(grader, f"row {number}", line, [])))
            if len(pending) == WINDOW:
                yield msgspec.structs.asdict((await pending.pop(0))[1])
        while pending:
            yield msgspec.structs.asdict((await pending.pop(0))[1])
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


async def _graded(grader: Grader, where: str, line: bytes, bad: list[str]) -> tuple[str, GradedRow]:
    """Return the category of a line and the verdict on it."""
    try:
        row = msgspec.json.decode(line, type=AnswerRow)
        query, response = _query(row), _response(row)
    # A ValidationError or DecodeError of msgspec is a ValueError.
    except (ValueError, TypeError, PluginError) as error:
        fault = " ".join(str(error).split())
        bad.append(f"{where}: {fault}")
        return BAD_ROW, _bad_row(line, fault)
    verdict = await grader.grade(query, response)
    checks = verdict.checks
    evidence = (
        checks[0].evidence
        if len(checks) == 1
        else "; ".join(f"{check.verifier}: {check.evidence}" for check in checks)
    )
    return row.category, GradedRow(
        id=row.id,
        score=verdict.score,
        state=verdict.state,
        reason=verdict.reason,
        verifier=verdict.verifier,
        evidence=evidence or "",
        answer=next((c.answer for c in checks if c.verifier == verdict.verifier), None),
    )


def _query(row: AnswerRow) -> Query:
    if row.verifier is not None:
        find_verifier(row.verifier)
    return Query(
        id=row.id,
        category=row.category,
        source="file",
        license="unknown",
        messages=[Message(role="user", content=row.prompt)],
        ground_truth=_ground_truth(row.ground_truth),
        language=row.language or ("python" if row.category == "code" else None),
        setup=row.setup,
        entry_point=row.entry_point,
        tests=[_checked(test) for test in row.tests or []],
        constraints=constraints_of(msgspec.structs.asdict(row)),
        verifier=row.verifier,
    )


def _ground_truth(value: str | int | float | list[str | int | float] | None) -> str | None:
    references = value if isinstance(value, list) else [value]
    texts = [str(one) for one in references if one is not None and one != ""]
    return ground_truth_of(texts) if texts else None


def _checked(test: CodeTest) -> CodeTest:
    if test.kind == "assert" and not test.code:
        raise ValueError("a test of kind assert needs `code`")
    if test.kind == "stdio" and test.output is None:
        raise ValueError("a test of kind stdio needs the expected `output`")
    return test


def _response(row: AnswerRow) -> Response:
    completion = Completion(
        text=row.response, finish_reason="stop", prompt_tokens=0, completion_tokens=0
    )
    parts = split(completion, "think_tags")
    return Response(
        id=row.id,
        query_id=row.id,
        teacher="file",
        attempt=0,
        seed=0,
        think=parts.think,
        answer=parts.answer,
        frame=frame_of(row.response, *parts),
        finish_reason="stop",
        prompt_tokens=0,
        completion_tokens=0,
        fingerprint="none",
    )


def _bad_row(line: bytes, fault: str) -> GradedRow:
    """Return the verdict on an invalid line, with its id if it has one."""
    try:
        found = msgspec.json.decode(line)["id"]
    except (ValueError, TypeError, KeyError):
        found = None
    return GradedRow(
        id=found if isinstance(found, str) else None,
        score=None,
        state="ungradable",
        reason=BAD_ROW,
        verifier="row",
        evidence=fault,
    )
