"""The inputs of the page other than files: parameters, and the tidy rows of the analyses."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stillhouse.analysis.verdict import Comparison
from stillhouse.layout import SHUFFLED, UNTRAINED
from stillhouse.params.benchmark import Benchmark
from stillhouse.params.filter import PerplexityScorer
from stillhouse.params.run import Controls, Report, Run
from stillhouse.params.student import Student
from stillhouse.params.teacher import Teacher
from stillhouse.params.verify import Verify

Rows = Sequence[Mapping[str, Any]]

REPLAY_NOTE = "replay, not a model"
STORED_NOTE = "replay of stored answers"


@dataclass(frozen=True)
class Settings:
    """The parameters on the page. `judge` is null if only rules decide, `scorer` if no perplexity is measured.

    `teachers` are all that were asked, `compared` those with students. Those of `controls` are not ranked.
    """

    run: Run
    verify: Verify
    benchmark: Benchmark
    report: Report
    teachers: Mapping[str, Teacher]
    judge: Teacher | None
    compared: Sequence[str]
    training_seeds: Sequence[int]
    controls: Controls
    scorer: PerplexityScorer | None = None
    students: Mapping[str, Student] = field(default_factory=dict)

    @property
    def ranked(self) -> list[str]:
        """The teachers that are compared with each other."""
        return self.controls.released(self.compared)

    @property
    def compared_with(self) -> dict[str, str]:
        """The teacher that each control is compared with, by the control's id in the place of a teacher."""
        aliases = {alias: self.teachers[alias].alias_of for alias in self.controls.alias}
        shuffled = {f"{teacher}{SHUFFLED}": teacher for teacher in self.controls.shuffled}
        return {control: of for control, of in aliases.items() if of is not None} | shuffled


@dataclass(frozen=True)
class AnalysisRows:
    """Tidy rows computed from the tables.

    `scores`, `paired`, `lengths`, `histogram` and `mixture` are returned by the functions `score_rows`, `paired_rows`,
    `length_rows`, `histogram_rows` and `mixture_rows` of `analysis`, `verdicts` by `analysis.verdict.verdicts`.
    `perplexity` has teacher, step and the figures of a box plot.
    """

    scores: Rows
    paired: Rows
    verdicts: Sequence[Comparison]
    lengths: Rows
    histogram: Rows
    mixture: Rows
    perplexity: Rows


def teacher_names(teachers: Mapping[str, Teacher]) -> dict[str, str]:
    """Return the name of each teacher: its label, with the id added if several have the same label.

    A replay has a note in brackets, which replaces brackets at the end of its label.
    """
    names = {}
    for teacher_id, teacher in teachers.items():
        names[teacher_id] = teacher.label
        if teacher.engine == "replay":
            note = (
                REPLAY_NOTE
                if teacher.replay and teacher.replay.kind == "solutions"
                else STORED_NOTE
            )
            names[teacher_id] = f"{re.sub(r' *[(][^()]*[)]$', '', teacher.label)} ({note})"
    twice = {name for name in names.values() if list(names.values()).count(name) > 1}
    return {i: f"{name} [{i}]" if name in twice else name for i, name in names.items()}


def with_controls(names: Mapping[str, str]) -> dict[str, str]:
    """Return the names of teachers with those of what can stand in a teacher's place: shuffled and untrained."""
    shuffled = {f"{i}{SHUFFLED}": f"{name}, answers shuffled" for i, name in names.items()}
    return {**names, **shuffled, UNTRAINED: "untrained"}


def model_text(teacher: Teacher) -> str:
    """Return the model and revision of a teacher or judge; for a replay, where its answers are from."""
    if teacher.engine == "replay":
        return f"replay from {teacher.replay_source}, no model asked"
    return f"{teacher.model} @ {teacher.revision}"
