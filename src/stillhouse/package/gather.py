"""Gathers what a release states of its run: parameters, metrics and materials, and where its tables are."""

from pathlib import Path

from stillhouse import layout
from stillhouse.files import read_json
from stillhouse.package.batches import TeacherTables
from stillhouse.package.facts import RunFacts, TeacherFacts
from stillhouse.package.provenance import dvc_digests
from stillhouse.package.write import RunTables
from stillhouse.params.base import Id
from stillhouse.params.benchmark import BenchmarkTask
from stillhouse.params.filter import Filter, PerplexityScorer
from stillhouse.params.generate import Generate
from stillhouse.params.package import Package
from stillhouse.params.queries import Queries
from stillhouse.params.run import Controls, Run
from stillhouse.params.stage import StageParams, load_recorded
from stillhouse.params.teacher import Teacher
from stillhouse.params.verify import Verify

PER_TEACHER = ("generate", "verify", "perplexity", "filter")  # stages with metrics of each teacher
QUERIES = [
    path.as_posix()
    for path in (layout.CURATED_QUERIES, layout.REJECTED_QUERIES, layout.CONTAMINATION)
]
INPUTS = ("responses", "verdicts", "perplexity", "filtered")  # folders of data/ with one of each


def run_facts(params: StageParams) -> RunFacts:
    """Return parameters, metrics and materials of the run."""
    controls = params.section(Controls, "controls")
    teachers = controls.released(params.read(list[Id], "teacher_ids"))
    inputs = [f"data/{folder}/{teacher}" for folder in INPUTS for teacher in teachers]
    return RunFacts(
        run=params.section(Run, "run"),
        package=params.section(Package, "package"),
        queries=params.section(Queries, "queries"),
        generate=params.section(Generate, "generate"),
        verify=params.section(Verify, "verify"),
        perplexity=params.section(PerplexityScorer, "perplexity"),
        filter=params.section(Filter, "filter"),
        benchmark_tasks=params.read(list[BenchmarkTask], "benchmark.tasks"),
        student_ids=params.read(list[Id], "student_ids"),
        compared_ids=controls.released(params.read(list[Id], "compared_ids")),
        teachers={teacher: teacher_facts(teacher) for teacher in teachers},
        judge=load_recorded(Teacher, layout.judge_record(teachers[0])),
        queries_metrics=read_json(layout.metrics("queries")),
        align_metrics=read_json(layout.metrics("align")),
        contamination=read_json(layout.CONTAMINATION),
        audit=read_json(layout.metrics("audit")),
        judge_audit=read_json(layout.metrics("judge_audit")),
        locks=sorted(Path("requirements").glob("*.txt")),
        inputs=dvc_digests(layout.LOCK, [*QUERIES, "data/aligned", *inputs]),
    )


def teacher_facts(teacher: str) -> TeacherFacts:
    """Return what the stages have recorded of one teacher."""
    return TeacherFacts(
        spec=load_recorded(Teacher, layout.teacher_record(teacher)),
        fingerprint=read_json(layout.fingerprint(teacher)),
        metrics={stage: read_json(layout.metrics(stage, teacher)) for stage in PER_TEACHER},
    )


def run_tables(teachers: list[str]) -> RunTables:
    """Return where the tables of the run are."""
    return RunTables(
        queries=layout.CURATED_QUERIES,
        rejected_queries=layout.REJECTED_QUERIES,
        teachers={teacher: teacher_tables(teacher) for teacher in teachers},
    )


def teacher_tables(teacher: str) -> TeacherTables:
    """Return where the tables of one teacher are."""
    return TeacherTables(
        aligned=layout.aligned(teacher),
        responses=layout.attempts(teacher),
        verdicts=layout.verdicts(teacher),
        perplexity=layout.perplexities(teacher),
        decisions=layout.decisions(teacher),
    )
