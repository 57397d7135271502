"""Lets one trained student answer the benchmark tasks of a run."""

import hashlib
from pathlib import Path
from typing import Any

from stillhouse import layout
from stillhouse.benchmark.beside import grade_beside
from stillhouse.benchmark.grade import StudentGrader
from stillhouse.benchmark.items import load_items
from stillhouse.benchmark.run import run_lighteval, work_folder
from stillhouse.benchmark.scores import read_samples
from stillhouse.journal.journal import Journal
from stillhouse.models.client import Model
from stillhouse.models.engine import Engine
from stillhouse.models.vllm_engine import Load, VllmCore, VllmEngine
from stillhouse.params.benchmark import Benchmark, BenchmarkSampling
from stillhouse.params.student import Student, StudentRuntime
from stillhouse.params.teacher import Sampling
from stillhouse.records import BenchmarkItem, Sample
from stillhouse.tables.read import read_table
from stillhouse.tables.write import write_table


async def answer(
    teacher: str,
    student: str,
    engine: Engine,
    benchmark: Benchmark,
    item_cpu_seconds: float,
    run_seed: int,
) -> tuple[list[Sample], int, dict[str, dict[str, Any]]]:
    """Run lighteval, write data/samples/TEACHER/STUDENT, and free the engine.

    Args:
        teacher: the id of the teacher whose examples the student was trained on.
        student: the student's id.
        engine: answers as the student.
        benchmark: the tasks, and which score decides.
        item_cpu_seconds: limit of one grading, in seconds of processor time.
        run_seed: the run's seed.

    Returns:
        the samples with their scores, how many answers came from the journal, and what `grade_beside` says of
        lighteval's own tasks.

    Raises:
        ItemsError, BenchmarkError, EngineError, GradingError: as `load_items` and `run_lighteval`.
    """
    items = {task.id: load_items(task, run_seed) for task in benchmark.tasks}
    grader = StudentGrader(item_cpu_seconds)
    with Journal.open() as journal, work_folder() as work:
        model = Model(engine, journal, "student", f"{teacher}/{student}")
        try:
            try:
                output = await run_lighteval(
                    benchmark.tasks, items, model, grader, engine.concurrency, run_seed, Path(work)
                )
            finally:
                await engine.close()
            samples = read_samples(output, benchmark, teacher, student)
            write_table(layout.samples(teacher, student), Sample, samples)
            theirs = [task for task in benchmark.tasks if task.kind == "lighteval"]
            references = read_table(layout.BENCHMARK_ITEMS, BenchmarkItem) if theirs else ()
            beside = await grade_beside(samples, theirs, references, grader)
        finally:
            await grader.close()
    return samples, model.hits, beside


def student_engine(
    folder: Path, student: Student, sampling: BenchmarkSampling, runtime: StudentRuntime
) -> VllmEngine:
    """Return the engine of a trained student; its revision is the hash of its weights, since names may repeat."""
    weights = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            weights.update(hashlib.file_digest(file, "sha256").digest())
    load = Load(f"path:{folder}", weights.hexdigest(), student.recipe.dtype, None)
    return VllmEngine(
        VllmCore(load, runtime),
        Sampling(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_tokens,
        ),
        system_prompt=sampling.system_prompt,
        concurrency=runtime.max_num_seqs,
    )
