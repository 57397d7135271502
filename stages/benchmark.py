"""Let one trained student answer the benchmark tasks under lighteval, and score its answers."""

import asyncio
import hashlib
import time
from pathlib import Path

import click

from stillhouse.benchmark.grade import StudentGrader
from stillhouse.benchmark.items import Item, load_items
from stillhouse.benchmark.run import run_lighteval, work_folder
from stillhouse.benchmark.scores import metrics, read_samples
from stillhouse.files import write_json
from stillhouse.journal.journal import Journal
from stillhouse.models.client import Model
from stillhouse.models.vllm_engine import Load, VllmCore, VllmEngine
from stillhouse.params.benchmark import Benchmark, BenchmarkSampling
from stillhouse.params.load import load_student
from stillhouse.params.stage import load_stage
from stillhouse.params.student import Student, StudentRuntime
from stillhouse.params.teacher import Sampling
from stillhouse.records import Sample
from stillhouse.stage import stage_command
from stillhouse.tables.table import write_table


@stage_command
@click.argument("teacher")
@click.argument("student")
def main(teacher: str, student: str) -> None:
    """Benchmark STUDENT as trained on the examples of TEACHER."""
    params = load_stage()
    seed = params.read(int, "run.seed")
    benchmark = params.section(Benchmark, "benchmark")
    items = {task.id: load_items(task, seed) for task in benchmark.tasks}
    engine = student_engine(
        Path("models", teacher, student),
        params.student(student),
        benchmark.sampling,
        load_student(student).runtime,  # untracked by design: where and how fast, never what
    )
    # Of `verify` only the limit of one grading decides a score here: no judge is asked and no program is run.
    grader = StudentGrader(params.read(float, "verify.item_cpu_seconds"))
    started = time.monotonic()
    with Journal.open() as journal, work_folder() as work:
        model = Model(engine, journal, "student", f"{teacher}/{student}")
        output = asyncio.run(answer(benchmark, items, model, engine, grader, seed, Path(work)))
        samples = read_samples(output, benchmark, teacher, student)
    write_table(Path("data/samples", teacher, student), Sample, samples)
    summary = metrics(samples, benchmark)
    write_json(Path("metrics/benchmark", teacher, student).with_suffix(".json"), summary)
    scores = ", ".join(
        f"{task} {facts['score']:.3f}" if "score" in facts else f"{task} no finished answer"
        for task, facts in summary.items()
    )
    click.echo(
        f"{benchmark.score} scores: {scores}; {model.hits} of {len(samples)} answers from the journal, "
        f"{time.monotonic() - started:.0f} s"
    )


def student_engine(
    folder: Path, student: Student, sampling: BenchmarkSampling, runtime: StudentRuntime
) -> VllmEngine:
    """Return the engine of a trained student; its revision is the hash of its weights, as no name tells them apart."""
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
            max_tokens=sampling.max_new_tokens,
        ),
        system_prompt=sampling.system_prompt,
        concurrency=runtime.max_num_seqs,
    )


async def answer(
    benchmark: Benchmark,
    items: dict[str, list[Item]],
    model: Model,
    engine: VllmEngine,
    grader: StudentGrader,
    seed: int,
    work: Path,
) -> Path:
    """Run lighteval, and free the engine and the grader."""
    try:
        return await run_lighteval(
            benchmark.tasks, items, model, grader, engine.concurrency, seed, work
        )
    finally:
        await grader.close()
        await engine.close()


if __name__ == "__main__":
    main()
