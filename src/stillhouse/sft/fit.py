"""Which rows fit into a student's context, and which of them each teacher's student is trained on.

A row that is too long for one teacher's student is left out for all, so that all students see the same queries. The
lengths are those in the student's tokens, and differ from the completion tokens that the filter limits.
Query ids are content hashes. So their order is random with respect to the texts and the same for all teachers, and the
rows of a budget are the first in it: those of a smaller budget are among those of a larger one.
"""

import itertools
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from stillhouse import layout
from stillhouse.params.student import StudentText, TrainingBudget
from stillhouse.progress import Progress
from stillhouse.records import Example
from stillhouse.sft.chosen import StepBudget, write_ids
from stillhouse.sft.encoding import Encoder, load_encoder
from stillhouse.sft.gates import StudentError
from stillhouse.sft.rows import FitLength
from stillhouse.tables.read import count_rows, read_table
from stillhouse.tables.write import TableWriter


def fit(
    student: str, text: StudentText, teachers: Sequence[str], budget: TrainingBudget
) -> dict[str, Any]:
    """Write the lengths of all rows and the ids for each teacher into data/fit/<student>, and return the metrics.

    Args:
        student: the student's id.
        text: its tokenizer, template and limit.
        teachers: the compared teachers.
        budget: what is equal for all of them.

    Raises:
        StudentError: the template or an example fails a gate, the teachers' sets hold different queries, or no query
            fits for all teachers.
        TableError: a table is missing or corrupt.
    """
    encoder = load_encoder(text)
    shutil.rmtree(layout.fit(student), ignore_errors=True)
    lengths = layout.fit_lengths(student)
    write_lengths(lengths, encoder, teachers)
    aligned = 0
    too_long: Counter[str] = Counter(dict.fromkeys(teachers, 0))
    fitting: dict[str, Counter[str]] = {teacher: Counter() for teacher in teachers}
    for rows in _by_query(lengths, teachers):
        aligned += 1
        too_long.update(row.teacher for row in rows if row.tokens > text.max_length)
        if _fits(rows, text.max_length):
            for row in rows:
                _count(fitting[row.teacher], row)
    if not fitting[teachers[0]]["rows"]:
        raise StudentError(
            f"no query to train student {student} on: of {aligned}, each is longer than recipe.max_length "
            f"{text.max_length} tokens for some teacher ({_counts(too_long)}); raise max_length, or look at "
            "metrics/align.json for why there are so few"
        )
    target = _target(budget, [counts["loss_tokens"] for counts in fitting.values()])
    trained: dict[str, Counter[str]] = {teacher: Counter() for teacher in teachers}
    steps = StepBudget(budget.limit if budget.unit == "steps" else None)
    for at, teacher in enumerate(teachers):
        fits = (rows[at] for rows in _by_query(lengths, teachers) if _fits(rows, text.max_length))
        chosen = _counted(within(fits, budget, target), trained[teacher])
        write_ids(layout.training_ids(student, teacher), chosen, steps)
    return {
        "max_length": text.max_length,
        "aligned": aligned,
        "fits_all": fitting[teachers[0]]["rows"],
        "too_long": dict(too_long),
        "fitting": {teacher: dict(counts) for teacher, counts in fitting.items()},
        "budget": {**budget.model_dump(), "target": target},
        "trained": {teacher: dict(counts) for teacher, counts in trained.items()},
    }


def write_lengths(folder: Path, encoder: Encoder, teachers: Sequence[str]) -> None:
    """Write the table of the lengths of all rows of the teachers; every row passes the gates of `Encoder.encode`."""
    total = sum(count_rows(layout.aligned(teacher)) for teacher in teachers)
    with TableWriter(folder, FitLength) as writer, Progress("fit", total) as progress:
        for teacher in teachers:
            rows = read_table(layout.aligned(teacher), Example)
            for example, encoded in encoder.encode(rows):
                length = FitLength(
                    id=f"{example.query_id}/{teacher}",
                    query_id=example.query_id,
                    teacher=teacher,
                    tokens=len(encoded.input_ids),
                    loss_tokens=encoded.loss_tokens,
                )
                writer.write(length)
                progress.advance(teacher)
        writer.finish()


def within(
    rows: Iterable[FitLength], budget: TrainingBudget, target: int | None
) -> Iterator[FitLength]:
    """Yield the first rows of one teacher, until they reach the target; all of them where it is null."""
    spent = 0
    for row in rows:
        if target is not None and spent >= target:
            return
        yield row
        spent += row.loss_tokens if budget.unit == "loss_tokens" else 1


def _target(budget: TrainingBudget, loss_tokens: Sequence[int]) -> int | None:
    """Return the rows or loss tokens at which the rows of each teacher end; `loss_tokens` are the sums by teacher."""
    if budget.unit == "loss_tokens":
        return min([*loss_tokens, *([budget.limit] if budget.limit else [])])
    return budget.limit if budget.unit == "rows" else None


def _by_query(lengths: Path, teachers: Sequence[str]) -> Iterator[list[FitLength]]:
    """Yield the lengths of each query, in the order of the teachers."""
    for query_id, found in itertools.groupby(
        read_table(lengths, FitLength), key=lambda row: row.query_id
    ):
        by_teacher = {row.teacher: row for row in found}
        if missing := [teacher for teacher in teachers if teacher not in by_teacher]:
            raise StudentError(
                f"{layout.aligned(missing[0])}: no row for query {query_id}, which another compared teacher has; the "
                "sets come from different runs: run `dvc repro align`"
            )
        yield [by_teacher[teacher] for teacher in teachers]


def _fits(rows: Sequence[FitLength], max_length: int) -> bool:
    return all(row.tokens <= max_length for row in rows)


def _counted(rows: Iterable[FitLength], counts: Counter[str]) -> Iterator[str]:
    for row in rows:
        _count(counts, row)
        yield row.query_id


def _count(counts: Counter[str], row: FitLength) -> None:
    counts["rows"] += 1
    counts["tokens"] += row.tokens
    counts["loss_tokens"] += row.loss_tokens


def _counts(too_long: Counter[str]) -> str:
    return ", ".join(f"{teacher} {count}" for teacher, count in too_long.items())
