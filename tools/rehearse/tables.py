"""The tables at the end of a rehearsal."""

from collections import Counter
from collections.abc import Mapping, Sequence

from stillhouse.records import CATEGORIES
from tools.rehearse.project import Copy
from tools.rehearse.stages import Result

STATES = ("pass", "fail", "ungradable")


def tables(copy: Copy, results: Mapping[str, Result]) -> str:
    """Return what came of each teacher: its answers, their verdicts, and what the filter dropped."""
    parts = [
        "Answers of the tiny models, and which parts were read in them:",
        _aligned([_answers(copy, teacher, result) for teacher, result in results.items()]),
        "",
        f"Verdicts by category, {' / '.join(STATES)}:",
        _aligned([_verdicts(teacher, result) for teacher, result in results.items()]),
        "",
    ]
    for teacher, result in results.items():
        parts.append(f"{teacher}: dropped by the filter: {_listed(result.filter['dropped'])}")
        if errors := result.generate["errors_by_reason"]:
            parts.append(f"{teacher}: without an answer: {_listed(errors)}")
    return "\n".join(parts)


def _answers(copy: Copy, teacher: str, result: Result) -> dict[str, str]:
    generate, parts = result.generate, result.parts
    counts = {
        "asked": result.asked,
        "finished": generate["attempts_by_finish"].get("stop", 0),
        "cut": generate["truncated"],
        "unanswered": generate["unanswered"],
        "both parts": parts["both"],
        "reasoning only": parts["reasoning"],
        "answer only": parts["answer"],
        "stray marks": generate["stray_marks"],
        "accepted": generate["accepted"],
        "kept": result.filter["kept"],
        "seconds": round(result.seconds),
    }
    family = copy.teachers[teacher].family.architecture
    return {"teacher": teacher, "family": family} | {name: str(n) for name, n in counts.items()}


def _verdicts(teacher: str, result: Result) -> dict[str, str]:
    row = {"teacher": teacher}
    for category in CATEGORIES:
        counted = result.verdicts.get(category, Counter())
        row[category] = " / ".join(str(counted[state]) for state in STATES)
    return row


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in sorted(counts.items())) or "none"


def _aligned(rows: Sequence[Mapping[str, str]]) -> str:
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = [
        [cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines
    ]
    return "\n".join("  ".join(cells).rstrip() for cells in padded)
