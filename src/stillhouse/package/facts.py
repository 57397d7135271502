"""Defines the facts of a run that a release states, and the Hub repositories of the release."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillhouse.package.rows import Config, Kind, schema_of
from stillhouse.params.benchmark import BenchmarkTask
from stillhouse.params.filter import Filter, PerplexityScorer
from stillhouse.params.generate import Generate
from stillhouse.params.package import PARALLEL, Package
from stillhouse.params.queries import Queries
from stillhouse.params.run import Run
from stillhouse.params.teacher import Teacher
from stillhouse.params.verify import Verify

TOGETHER = "all"  # folder of the one repository of `layout: single`


@dataclass(frozen=True)
class TeacherFacts:
    """One teacher: its tracked parameters, the facts of its engine, and its metrics.

    `metrics` has the content of its metrics files by stage: generate, verify, perplexity and filter.
    """

    spec: Teacher
    fingerprint: dict[str, Any]
    metrics: dict[str, Any]


@dataclass(frozen=True)
class RunFacts:
    """Parameters, metrics and materials of a run.

    `compared_ids` are the teachers of the parallel set; a teacher beside them has a set of its own queries.
    `queries_metrics`, `align_metrics` and `contamination` are the contents of those files. `audit` has the measured
    errors by verifier, and `judge_audit` the measured errors of the judge by kind of question; each is None if it was
    not measured. `locks` has the environment locks, and `inputs` the md5 of each input table from dvc.lock.
    """

    run: Run
    package: Package
    queries: Queries
    generate: Generate
    verify: Verify
    perplexity: PerplexityScorer
    filter: Filter
    benchmark_tasks: list[BenchmarkTask]
    student_ids: list[str]
    compared_ids: list[str]
    teachers: dict[str, TeacherFacts]
    judge: Teacher | None
    queries_metrics: dict[str, Any]
    align_metrics: dict[str, Any]
    contamination: dict[str, Any]
    audit: dict[str, Any] | None
    judge_audit: dict[str, Any] | None
    locks: list[Path]
    inputs: Mapping[str, str]


@dataclass(frozen=True)
class Repository:
    """One Hub repository: its folder below data/release, its id on the Hub, and its teachers."""

    folder: str
    repo_id: str
    teacher_ids: list[str]
    configs: list[Config]


def repositories(
    package: Package, teacher_ids: list[str], compared_ids: list[str]
) -> list[Repository]:
    """Return the repositories of a release.

    Args:
        package: the parameters of the package stage.
        teacher_ids: the teachers, each of which has a set.
        compared_ids: those of them whose sets are parallel.
    """
    name = f"{package.namespace}/{package.name}"
    parallel = Config(PARALLEL, "parallel", "parallel", None, schema_of("parallel", compared_ids))
    if package.layout == "single":
        configs = [
            *(config for teacher in teacher_ids for config in _of_teacher(teacher, prefix=True)),
            _config("rejected_queries", "rejected_queries", "rejected_queries", None),
            parallel,
        ]
        return [Repository(TOGETHER, name, list(teacher_ids), configs)]
    single = [
        Repository(
            teacher,
            f"{name}-{teacher}",
            [teacher],
            [
                *_of_teacher(teacher, prefix=False),
                _config("rejected_queries", "rejected_queries", "rejected_queries", None),
            ],
        )
        for teacher in teacher_ids
    ]
    beside = Repository(PARALLEL, f"{name}-{PARALLEL}", list(compared_ids), [parallel])
    return [*single, beside]


def student_repository(package: Package, teacher_id: str, student_id: str) -> str:
    """Return the id of the Hub repository of one student.

    Args:
        package: The parameters of the package stage.
        teacher_id: The id of the teacher.
        student_id: The id of the student.
    """
    return f"{package.namespace}/{package.name}-{teacher_id}-{student_id}"


def _of_teacher(teacher: str, *, prefix: bool) -> list[Config]:
    kinds: list[Kind] = ["data", "all_attempts", "rejected"]
    if prefix:
        names = [teacher, f"{teacher}_all_attempts", f"{teacher}_rejected"]
    else:
        names = ["default", "all_attempts", "rejected"]
    folder = f"{teacher}/" if prefix else ""
    return [
        _config(name, kind, f"{folder}{kind}", teacher)
        for name, kind in zip(names, kinds, strict=True)
    ]


def _config(name: str, kind: Kind, folder: str, teacher: str | None) -> Config:
    return Config(name, kind, folder, teacher, schema_of(kind))
