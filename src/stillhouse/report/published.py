"""The figures of a published study, and which teachers and benchmarks of a run are those of the study.

A teacher is recognised by its model, a benchmark by lighteval's task: ids and labels are free in every run.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from stillhouse.params.benchmark import BenchmarkTask
from stillhouse.params.files import read_yaml
from stillhouse.params.teacher import Teacher

PUBLISHED_FOLDER = Path(__file__).parent / "published"


class PublishedTeacher(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A teacher of the study, and the repository of its model."""

    name: str
    model: str


class PublishedBenchmark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A benchmark of the study: lighteval's names for it, answers per item, and the figures by teacher.

    `scores` are pass@1 in %, `tokens` mean generated tokens per answer; both are in the order of the teachers.
    """

    name: str
    tasks: list[str]
    samples: int
    scores: list[float]
    tokens: list[float]


class PublishedStudy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A published study; `hard` and `easy` name the benchmarks whose tokens give the ratio of adaptive length."""

    source: str
    student: str
    teachers: list[PublishedTeacher]
    benchmarks: list[PublishedBenchmark]
    hard: str
    easy: str
    temperature: float
    top_p: float
    max_tokens: int

    def teachers_of(self, teachers: Mapping[str, Teacher]) -> dict[int, str]:
        """Return the id of the run's teacher by the place of the study's; the first one where several are one model."""
        found: dict[int, str] = {}
        for place, published in enumerate(self.teachers):
            for teacher_id, teacher in teachers.items():
                if teacher.model.lower() == published.model.lower():
                    found.setdefault(place, teacher_id)
        return found

    def benchmarks_of(self, tasks: Iterable[BenchmarkTask]) -> dict[str, BenchmarkTask]:
        """Return the run's task by the name of the study's benchmark; the first one where several are one task."""
        found: dict[str, BenchmarkTask] = {}
        for task in tasks:
            for published in self.benchmarks:
                if task.kind == "lighteval" and task.task in published.tasks:
                    found.setdefault(published.name, task)
        return found


def load_study(name: str) -> PublishedStudy:
    """Return the study that `report.published` names."""
    return msgspec.convert(read_yaml(PUBLISHED_FOLDER / f"{name}.yaml"), type=PublishedStudy)
