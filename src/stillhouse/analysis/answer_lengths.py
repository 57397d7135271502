"""Lengths of the students' answers, and how they depend on whether the answer is right.

A student that writes much where it is wrong may be cut off there, so wrong answers that were cut are counted apart.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from stillhouse.analysis.conditions import Condition
from stillhouse.analysis.statistics import Columns

Samples = Mapping[Condition, Columns]
RIGHT_FROM = 0.5  # scorers that give fractions accept from here on
OUTCOMES = ("right", "wrong", "cut")


def answer_length_rows(
    samples: Samples, tasks: Sequence[str], *, lenient: bool
) -> list[dict[str, Any]]:
    """Return one row per benchmark, student and teacher: mean tokens of right and of wrong answers.

    Args:
        samples: the columns task, score_strict, score_lenient, completion_tokens and finish_reason; what several keys
            have of one teacher and student, such as seeds, is put together.
        tasks: the benchmarks in the order to print.
        lenient: whether the lenient score says what is right, else the strict one.

    Returns:
        Rows of task, student, teacher; for `right`, `wrong` (ended by itself) and `cut` (wrong, and cut at the token
        limit) the mean number of generated tokens, null without such an answer, and in `<name>_answers` their number.
        Benchmarks without any answer are left out.
    """
    rows = []
    for (student, teacher), columns in sorted_by_student(samples):
        score = columns["score_lenient" if lenient else "score_strict"]
        right = score >= RIGHT_FROM
        cut = ~right & (columns["finish_reason"] == "length")
        for task in tasks:
            own = columns["task"] == task
            if not own.any():
                continue
            row: dict[str, Any] = {"task": task, "student": student, "teacher": teacher}
            for name, chosen in zip(OUTCOMES, (right, ~right & ~cut, cut), strict=True):
                tokens = columns["completion_tokens"][own & chosen]
                row[name] = float(tokens.mean()) if len(tokens) else None
                row[f"{name}_answers"] = len(tokens)
            rows.append(row)
    return rows


def score_and_tokens(columns: Columns, task: str) -> tuple[float, float, int] | None:
    """Return the lenient pass@1 of a benchmark, the mean tokens per answer, and the answers; null without answers.

    pass@1 is the mean over items of the mean over an item's answers.
    """
    own = columns["task"] == task
    if not own.any():
        return None
    _, item = np.unique(columns["item_id"][own].astype(str), return_inverse=True)
    sums = np.bincount(item, weights=columns["score_lenient"][own].astype(float))
    means = sums / np.bincount(item)
    return float(means.mean()), float(columns["completion_tokens"][own].mean()), int(own.sum())


def sorted_by_student(samples: Samples) -> Iterator[tuple[tuple[str, str], Columns]]:
    """Yield ((student, teacher), columns), student by student in the order of the samples, seeds put together."""
    grouped: dict[str, dict[str, list[Columns]]] = {}
    for (teacher, student, *_), columns in samples.items():
        grouped.setdefault(student, {}).setdefault(teacher, []).append(columns)
    for student, by_teacher in grouped.items():
        for teacher, parts in by_teacher.items():
            names = parts[0].keys()
            yield (
                (student, teacher),
                {name: np.concatenate([part[name] for part in parts]) for name in names},
            )
