"""Grades the answers to lighteval's own tasks by our rule too, so that the two can be compared.

The score of such a task stays that of lighteval's scorer. Where the two disagree, one of them is wrong about an answer,
and a reader sees which. A task whose items have no reference in text, such as LiveCodeBench's programs, is lighteval's
alone. Tasks that compare log-probabilities do not run at all: students are compared by what they write.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stillhouse.benchmark.grade import Marks, StudentGrader, answer_part
from stillhouse.benchmark.items import Item
from stillhouse.models.engine import Completion
from stillhouse.params.benchmark import BenchmarkTask
from stillhouse.records import BenchmarkItem, Sample

EXAMPLES = 5
ANSWER_CHARS = 200  # of an answer's end, where its result is


async def grade_beside(
    samples: Iterable[Sample],
    tasks: Sequence[BenchmarkTask],
    items: Iterable[BenchmarkItem],
    grader: StudentGrader,
) -> dict[str, dict[str, Any]]:
    """Return how lighteval's strict scores and ours compare, by the id of each task of lighteval's.

    Args:
        samples: the answers with lighteval's scores.
        tasks: lighteval's own tasks of the run.
        items: the items of all tasks, with their references.
        grader: grades by our rule.

    Returns:
        By task: `items_read`, whether stage benchmark_items has its items; `compared`, the answers to items with a
        reference that our rule could read, and `unread`, those that it could not. If any are compared, also `lighteval`
        and `ours`, the shares of these that each accepts (a scorer's 0.5 or more accepts), `disagree`, the share in
        which they differ, and up to five `examples` (item_id, sample, reference, answer, lighteval, ours).

    Raises:
        GradingError: trouble of this machine.
    """
    theirs = {task.id for task in tasks}
    known: dict[tuple[str, str], Item] = {}
    read: set[str] = set()
    for item in items:
        read.add(item.task)
        if item.task in theirs and item.reference is not None:
            known[item.task, item.item_id] = Item(
                item.item_id, item.task, item.prompt, item.reference
            )
    rows = [row for row in samples if (row.task, row.item_id) in known]
    marks = await asyncio.gather(
        *(grader.grade(known[row.task, row.item_id], _completion(row)) for row in rows)
    )
    graded = list(zip(rows, marks, strict=True))
    return {
        task: {"items_read": task in read}
        | _compared([pair for pair in graded if pair[0].task == task], known)
        for task in sorted(theirs)
    }


def _compared(
    graded: Sequence[tuple[Sample, Marks]], known: Mapping[tuple[str, str], Item]
) -> dict[str, Any]:
    # What our rule cannot read has no verdict of ours.
    verdicts = [(row, marks) for row, marks in graded if not marks.unread]
    count, unread = len(verdicts), len(graded) - len(verdicts)
    if not count:
        return {"compared": 0, "unread": unread}
    differ = [(row, marks) for row, marks in verdicts if accepts(row.score_strict) != marks.strict]
    return {
        "compared": count,
        "unread": unread,
        "lighteval": sum(accepts(row.score_strict) for row, _ in verdicts) / count,
        "ours": sum(marks.strict for _, marks in verdicts) / count,
        "disagree": len(differ) / count,
        "examples": [
            {
                "item_id": row.item_id,
                "sample": row.sample,
                "reference": known[row.task, row.item_id].answer[:ANSWER_CHARS],
                "answer": answer_part(_completion(row))[-ANSWER_CHARS:],
                "lighteval": float(accepts(row.score_strict)),
                "ours": marks.strict,
            }
            for row, marks in differ[:EXAMPLES]
        ],
    }


def accepts(score: float) -> bool:
    """Return whether a scorer that gives fractions accepts an answer."""
    return score >= 0.5


def _completion(row: Sample) -> Completion:
    return Completion(
        text=row.text,
        finish_reason=row.finish_reason,
        prompt_tokens=0,
        completion_tokens=row.completion_tokens,
    )
