"""Let one trained student answer the benchmark tasks under lighteval, and score its answers."""

import asyncio
import time

import click

from stillhouse import layout
from stillhouse.benchmark.scores import metrics
from stillhouse.benchmark.student import answer, student_engine
from stillhouse.files import write_json
from stillhouse.params.benchmark import Benchmark
from stillhouse.params.load import load_student
from stillhouse.params.stage import load_stage
from stillhouse.stage import stage_command


@stage_command
@click.argument("teacher")
@click.argument("student")
def main(teacher: str, student: str) -> None:
    """Benchmark STUDENT as trained on the examples of TEACHER."""
    params = load_stage()
    benchmark = params.section(Benchmark, "benchmark")
    engine = student_engine(
        layout.student_model(teacher, student),
        params.student(student),
        benchmark.sampling,
        load_student(student).runtime,  # untracked by design: where and how fast, never what
    )
    # Of `verify` only the limit of one grading decides a score here: no judge is asked and no program is run.
    seconds = params.read(float, "verify.item_cpu_seconds")
    seed = params.read(int, "run.seed")
    started = time.monotonic()
    samples, hits, beside = asyncio.run(answer(teacher, student, engine, benchmark, seconds, seed))
    summary = metrics(samples, benchmark)
    for task, compared in beside.items():
        summary[task]["by_our_rule"] = compared
    write_json(layout.metrics("benchmark", teacher, student), summary)
    scores = ", ".join(
        f"{task} {facts['score']:.3f}" if "score" in facts else f"{task} no finished answer"
        for task, facts in summary.items()
    )
    click.echo(
        f"{benchmark.score} scores: {scores}; {hits} of {len(samples)} answers from the journal, "
        f"{time.monotonic() - started:.0f} s"
    )


if __name__ == "__main__":
    main()
