"""Stage model_card: the card of one student, with its scores and their intervals."""

from pathlib import Path

import click
import numpy as np
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from stillhouse.analysis.scores import SAMPLE_COLUMNS, score_rows
from stillhouse.files import read_json
from stillhouse.package.model_card import StudentFacts, write_model_card
from stillhouse.params.base import Id
from stillhouse.params.benchmark import Benchmark
from stillhouse.params.package import Package
from stillhouse.params.run import Report, Run
from stillhouse.params.stage import load_recorded, load_stage
from stillhouse.params.teacher import Teacher
from stillhouse.stage import stage_command
from stillhouse.tables.table import shard_paths


@stage_command
@click.argument("teacher")
@click.argument("student")
def main(teacher: str, student: str) -> None:
    """Write data/model_cards/TEACHER/STUDENT."""
    params = load_stage()
    run, benchmark = params.section(Run, "run"), params.section(Benchmark, "benchmark")
    report = params.section(Report, "report")
    shards = [str(path) for path in shard_paths(Path("data/samples", teacher, student))]
    table = pq.ParquetDataset(shards).read(columns=SAMPLE_COLUMNS)
    samples = {name: np.asarray(table.column(name).to_pylist()) for name in SAMPLE_COLUMNS}
    facts = StudentFacts(
        run=run,
        package=params.section(Package, "package"),
        teacher_ids=TypeAdapter(list[Id]).validate_python(params.value("teacher_ids")),
        teacher_id=teacher,
        teacher=load_recorded(Teacher, Path("data/responses", teacher, "teacher.json")),
        student_id=student,
        student=params.student(student),
        sampling=benchmark.sampling,
        decides=benchmark.score,
        sft=read_json(Path("metrics/sft", teacher, f"{student}.json")),
        align=read_json(Path("metrics/align.json")),
        scores=score_rows(
            {(teacher, student): samples},
            [task.id for task in benchmark.tasks],
            benchmark.score,
            resamples=report.resamples,
            confidence=report.confidence,
            seed=run.seed,
        ),
        confidence=report.confidence,
    )
    write_model_card(Path("data/model_cards", teacher, student), facts)


if __name__ == "__main__":
    main()
