"""Section on lighteval's own tasks: its scores beside those of our rule, and answers on which they disagree."""

from collections.abc import Iterator, Mapping
from typing import Any

from stillhouse.analysis.conditions import Condition
from stillhouse.report.formats import percent
from stillhouse.report.inputs import RunFiles
from stillhouse.report.material import Settings
from stillhouse.report.page import Block, SideBySide, Table, TeacherAnswer, Text

SHOWN = 5  # answers of each task on which the two disagree


def lighteval_beside_ours(
    files: RunFiles, settings: Settings, names: Mapping[str, str]
) -> list[Block]:
    """Return the two scores of each student, examples where they differ, and the tasks that lighteval scores alone.

    A run without a task of lighteval's has no such block.

    Args:
        files: the data of the run.
        settings: the parameters of the run.
        names: display names by teacher id.
    """
    found = list(_compared(files, settings))
    if not found:
        return []
    blocks: list[Block] = []
    both = [(task, one, row) for task, one, row in found if row["compared"]]
    if both:
        header = ["Benchmark", "Teacher", "Student", "Seed", "lighteval, %", "Our rule, %"]
        blocks.append(
            Table(
                "lighteval's own tasks: shares of the answers that its scorer accepts, beside those that our rule "
                "accepts (strict; answers that our rule cannot read are left out)",
                [*header, "Disagree, %", "Answers", "Unread by ours"],
                [
                    [
                        task,
                        names[teacher],
                        student,
                        str(seed),
                        *(percent(row[key]) for key in ("lighteval", "ours", "disagree")),
                        f"{row['compared']:,}",
                        f"{row['unread']:,}",
                    ]
                    for task, (teacher, student, seed), row in both
                ],
                labels=4,
            )
        )
    for task in dict.fromkeys(task for task, _, _ in both):
        examples = [
            _example(task, f"{names[teacher]}, {student}", one)
            for own, (teacher, student, _), row in both
            if own == task
            for one in row["examples"]
        ]
        blocks += examples[:SHOWN]
    if unread := sorted({task for task, _, row in found if not row["items_read"]}):
        blocks.append(
            Text(
                "Scored by lighteval alone, because queries.decontaminate.allow_unchecked names them and their items "
                f"were not read: {', '.join(unread)}.",
                note=True,
            )
        )
    if alone := sorted(
        {task for task, _, row in found if row["items_read"] and not row["compared"]}
    ):
        blocks.append(
            Text(
                "Scored by lighteval alone, because the items have no reference that our rule compares: "
                f"{', '.join(alone)}.",
                note=True,
            )
        )
    return blocks


def _compared(
    files: RunFiles, settings: Settings
) -> Iterator[tuple[str, Condition, dict[str, Any]]]:
    """Yield task, condition and what stage `benchmark` found, for the tasks of lighteval's."""
    for task in settings.benchmark.tasks:
        for condition, metrics in files.benchmark.items():
            if (row := metrics.get(task.id, {}).get("by_our_rule")) is not None:
                yield task.id, condition, row


def _example(task: str, teacher: str, found: Mapping[str, Any]) -> SideBySide:
    """Return an answer on which the two disagree; its text comes from a model."""
    theirs, ours = ("right" if found[by] >= 0.5 else "wrong" for by in ("lighteval", "ours"))
    return SideBySide(
        f"{task}: {theirs} by lighteval, {ours} by our rule",
        f"Item {found['item_id']}, reference: {found['reference']}",
        [TeacherAnswer(teacher, "the end of the student's answer", "", found["answer"])],
    )
