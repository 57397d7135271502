"""The flat figures that `dvc exp show` compares between runs, and the rows that `dvc plots show` draws."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stillhouse.analysis.answered import MEAN_TASK
from stillhouse.analysis.conditions import UNTRAINED
from stillhouse.analysis.verdict import Comparison
from stillhouse.report.inputs import RunFiles

Rows = Sequence[Mapping[str, Any]]

STAGES = ("queries", "answered", "passed", "kept", "parallel")
DIGITS = 6
# Figures of a teacher's students: the name, and the column of which it is the mean.
OF_STUDENTS = {
    "score": "score",
    "strict": "strict",
    "lenient": "lenient",
    "finished": "finished",
    "cut": "truncated",
    "unread": "unread",
}


def funnel_rows(files: RunFiles) -> list[dict[str, Any]]:
    """Return rows of teacher, stage, rows: the queries left after each stage that has run.

    `fit <student>` are those whose rows fit into that student's context for all teachers. `trained <student>` are
    those that the training budget leaves of them, where it leaves any out.
    """
    rows = []
    budgeted = {
        student
        for student, fit in files.fit.items()
        if any(found["rows"] < fit["fits_all"] for found in fit["trained"].values())
    }
    for teacher, metrics in files.filter.items():
        counts = {stage: metrics[stage] for stage in STAGES[:-1]}
        compared = teacher in files.compared_ids
        if files.align is not None and compared:
            counts["parallel"] = files.align["parallel"]
        for student, fit in files.fit.items() if compared else ():
            counts[f"fit {student}"] = fit["fits_all"]
            if student in budgeted:
                counts[f"trained {student}"] = fit["trained"][teacher]["rows"]
        rows += [{"teacher": teacher, "stage": stage, "rows": n} for stage, n in counts.items()]
    return rows


def summary(files: RunFiles, scores: Rows, verdicts: Sequence[Comparison]) -> dict[str, float]:
    """Return the figures of the run and of each teacher; figures that this run does not have are left out.

    Args:
        files: the data of the run.
        scores: rows of task, teacher, student, and the columns that `OF_STUDENTS` names.
        verdicts: what the comparison says with each student.

    Returns:
        queries, parallel, parallel_share; accepted_share (queries with an accepted answer, over teachers),
        mean_attempts per query and teacher, truncated_share of the attempts, ungradable attempts;
        tokens_mean per parallel row; and per teacher the means over its students, in 0..1: `score_<id>` (the score that
        decides), `strict_<id>`, `lenient_<id>`, `finished_<id>`, and the shares of answers `cut_<id>`, `unread_<id>`.
        The untrained student has the id `untrained`. `detectable` is the largest difference, over students, that has to
        exist to be found with 80 % power.
    """
    found: dict[str, float] = {}
    if files.align is not None:
        found["queries"] = files.align["queries"]
        found["parallel"] = files.align["parallel"]
        _share(found, "parallel_share", files.align["parallel"], files.align["queries"])
    generated = list(files.generate.values())
    queries, attempts = _sum(generated, "queries"), _sum(generated, "attempts")
    _share(found, "accepted_share", _sum(generated, "accepted"), queries)
    _share(found, "mean_attempts", attempts, queries)
    _share(found, "truncated_share", _sum(generated, "truncated"), attempts)
    if files.verify:
        found["ungradable"] = _sum(files.verify.values(), "ungradable")
    tokens = [columns["completion_tokens"] for columns in files.lengths.values()]
    _share(found, "tokens_mean", sum(int(t.sum()) for t in tokens), sum(len(t) for t in tokens))
    for teacher in (*files.teacher_ids, UNTRAINED):
        own = [
            row
            for row in rows_of_mean(scores)
            if row["teacher"] == teacher and row["student"] in files.student_ids
        ]
        for name, column in OF_STUDENTS.items():
            values = [row[column] for row in own]
            if values and None not in values:
                found[f"{name}_{teacher}"] = round(sum(values) / len(values), DIGITS)
    detectable = [one.detectable for one in verdicts if one.detectable is not None]
    if detectable:
        found["detectable"] = max(detectable)
    return found


def rows_of_mean(rows: Rows) -> list[Mapping[str, Any]]:
    """Return the rows of the mean over benchmarks; with one benchmark, its rows."""
    return [row for row in rows if row["task"] == MEAN_TASK] or list(rows)


def write_rows(path: Path, columns: Sequence[str], rows: Rows) -> None:
    """Write rows as CSV with a header; null is an empty field.

    Args:
        path: the file.
        columns: the columns to write; the others are left out.
        rows: the rows.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _share(found: dict[str, float], key: str, part: float, whole: float) -> None:
    if whole:
        found[key] = round(part / whole, DIGITS)


def _sum(parts: Any, key: str) -> int:
    return sum(int(part[key]) for part in parts)
