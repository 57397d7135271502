"""Stage package: writes and lints the Hub repository folders of the run's data sets."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import TypeAdapter

from stillhouse.benchmark.items import load_items
from stillhouse.files import read_json, write_json
from stillhouse.package.batches import Overlaps, TeacherTables
from stillhouse.package.facts import RunFacts, TeacherFacts
from stillhouse.package.provenance import dvc_digests
from stillhouse.package.write import RunTables, write_release
from stillhouse.params.base import Id
from stillhouse.params.benchmark import BenchmarkTask
from stillhouse.params.filter import Filter, PerplexityScorer
from stillhouse.params.generate import Generate
from stillhouse.params.package import Package
from stillhouse.params.queries import Queries
from stillhouse.params.run import Run
from stillhouse.params.stage import StageParams, load_recorded, load_stage
from stillhouse.params.teacher import Teacher
from stillhouse.params.verify import Verify
from stillhouse.queries.decontaminate import BenchmarkIndex, Reference
from stillhouse.records import Message, Query
from stillhouse.stage import stage_command

DATA = Path("data")
PER_TEACHER = ("generate", "verify", "perplexity", "filter")


@stage_command
def main() -> None:
    """Write data/release: one folder per repository."""
    params = load_stage()
    teachers = TypeAdapter(list[Id]).validate_python(params.value("teacher_ids"))
    facts = run_facts(params, teachers)
    tables = RunTables(
        queries=DATA / "queries/curated",
        rejected_queries=DATA / "queries/rejected",
        teachers={teacher: teacher_tables(teacher) for teacher in teachers},
    )
    stats = write_release(DATA / "release", tables, facts, overlaps=benchmark_overlaps(facts))
    written = {name: dataclasses.asdict(found) for name, found in stats.items()}
    write_json(Path("metrics/package.json"), written)


def run_facts(params: StageParams, teachers: list[str]) -> RunFacts:
    """Gather parameters, metrics and materials."""
    responses = {teacher: DATA / "responses" / teacher for teacher in teachers}
    inputs = [f"data/{table}/{t}" for table in ("responses", "verdicts", "perplexity", "filtered")
              for t in teachers]  # fmt: skip
    return RunFacts(
        run=params.section(Run, "run"),
        package=params.section(Package, "package"),
        queries=params.section(Queries, "queries"),
        generate=params.section(Generate, "generate"),
        verify=params.section(Verify, "verify"),
        perplexity=params.section(PerplexityScorer, "perplexity"),
        filter=params.section(Filter, "filter"),
        benchmark_tasks=params.read(list[BenchmarkTask], "benchmark.tasks"),
        student_ids=TypeAdapter(list[Id]).validate_python(params.value("student_ids")),
        teachers={
            teacher: TeacherFacts(
                spec=load_recorded(Teacher, folder / "teacher.json"),
                fingerprint=read_json(folder / "fingerprint.json"),
                metrics={n: read_json(Path(f"metrics/{n}/{teacher}.json")) for n in PER_TEACHER},
            )
            for teacher, folder in responses.items()
        },
        judge=load_recorded(Teacher, responses[teachers[0]] / "judge.json"),
        queries_metrics=read_json(Path("metrics/queries.json")),
        align_metrics=read_json(Path("metrics/align.json")),
        contamination=read_json(DATA / "queries/contamination.json"),
        audit=read_json(Path("metrics/audit.json")),
        judge_audit=read_json(Path("metrics/judge_audit.json")),
        locks=sorted(Path("requirements").glob("*.txt")),
        inputs=dvc_digests(Path("dvc.lock"), ["data/queries", "data/aligned", *inputs]),
    )


def teacher_tables(teacher: str) -> TeacherTables:
    """Return where the tables of one teacher lie."""
    return TeacherTables(
        aligned=DATA / "aligned" / teacher,
        responses=DATA / "responses" / teacher / "attempts",
        verdicts=DATA / "verdicts" / teacher,
        perplexity=DATA / "perplexity" / teacher,
        decisions=DATA / "filtered" / teacher / "decisions",
    )


def benchmark_overlaps(facts: RunFacts) -> Overlaps:
    """Return the check of a chat against the benchmarks of this run, by the rules of the queries stage."""
    items = [item for task in facts.benchmark_tasks for item in load_items(task, facts.run.seed)]
    references = [Reference(item.task, item.id, item.prompt) for item in items]
    index = BenchmarkIndex(references, facts.queries.decontaminate)

    def overlaps(chat: Sequence[Mapping[str, str]]) -> str | None:
        messages = [Message(role="user", content=t["content"]) for t in chat if t["role"] == "user"]
        query = Query(id="", category="other", source="", license="", messages=messages)
        found = index.strongest(query)
        return None if found is None else f"{found.task}/{found.item_id}"

    return overlaps


if __name__ == "__main__":
    main()
