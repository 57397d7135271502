"""What the page is made from, beside the files: the parameters that it names, and the tidy rows of the analyses."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stillhouse.params import Benchmark, Report, Run, Teacher, Verify

Rows = Sequence[Mapping[str, Any]]

REPLAY_NOTE = "replay, not a model"
STORED_NOTE = "replay of stored answers"


@dataclass(frozen=True)
class Settings:
    """The parameters that the page names. `judge` is the judge's model, null where rules judge alone."""

    run: Run
    verify: Verify
    benchmark: Benchmark
    report: Report
    teachers: Mapping[str, Teacher]
    judge: Teacher | None


@dataclass(frozen=True)
class Figures:
    """Tidy rows computed from the tables, and the names that mark sums in them.

    `scores`, `paired`, `lengths`, `histogram` and `mixture` are as the analysis functions of these names return them;
    `perplexity` has teacher, step and the figures of a box plot. `mean_task` and `all_students` name the rows over all
    benchmarks and all students.
    """

    scores: Rows
    paired: Rows
    lengths: Rows
    histogram: Rows
    mixture: Rows
    perplexity: Rows
    mean_task: str
    all_students: str


def teacher_names(teachers: Mapping[str, Teacher]) -> dict[str, str]:
    """Return what each teacher is called: its label, with the id added where labels repeat.

    A replay is no model, and says so wherever it appears; that remark takes the place of one in brackets at the end of
    its label.
    """
    names = {}
    for teacher_id, teacher in teachers.items():
        names[teacher_id] = teacher.label
        if teacher.engine == "replay":
            note = REPLAY_NOTE if teacher.replay_from == "solutions" else STORED_NOTE
            names[teacher_id] = f"{re.sub(r' *[(][^()]*[)]$', '', teacher.label)} ({note})"
    twice = {name for name in names.values() if list(names.values()).count(name) > 1}
    return {i: f"{name} [{i}]" if name in twice else name for i, name in names.items()}
