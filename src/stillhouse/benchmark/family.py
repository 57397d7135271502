"""Lets the models of one student family answer the benchmark tasks of a run, one after the other."""

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from stillhouse import layout
from stillhouse.analysis.conditions import Condition
from stillhouse.benchmark.beside import grade_beside
from stillhouse.benchmark.grade import StudentGrader
from stillhouse.benchmark.items import Item, load_items
from stillhouse.benchmark.run import run_lighteval, work_folder
from stillhouse.benchmark.scores import metrics, read_samples
from stillhouse.journal.journal import Journal
from stillhouse.models.client import Model
from stillhouse.models.engine import Engine
from stillhouse.params.benchmark import Benchmark
from stillhouse.params.stage import StageParams
from stillhouse.records import BenchmarkItem, Sample
from stillhouse.tables.read import read_table
from stillhouse.tables.write import write_table

Figures = dict[str, dict[str, Any]]


def run_family(
    params: StageParams,
    engines: Mapping[Condition, Engine],
    table_of: Callable[[Condition], Path],
) -> dict[Condition, Figures]:
    """Let each condition answer all tasks, write its table of samples, and free the engines.

    Args:
        params: the parameters of the stage.
        engines: answer as the conditions, in their order; they share one core.
        table_of: returns where the table of a condition is written.

    Returns:
        For each condition by task what `metrics` returns, and for lighteval's tasks `by_our_rule`, what `grade_beside`
        returns.

    Raises:
        ItemsError, BenchmarkError, EngineError, GradingError: as `load_items` and `run_lighteval`.
    """
    benchmark = params.section(Benchmark, "benchmark")
    # Of `verify` only the limit of one grading decides a score here: no judge is asked and no program is run.
    seconds = params.read(float, "verify.item_cpu_seconds")
    seed = params.read(int, "run.seed")
    return asyncio.run(_answer(engines, benchmark, seconds, seed, table_of))


async def _answer(
    engines: Mapping[Condition, Engine],
    benchmark: Benchmark,
    item_cpu_seconds: float,
    run_seed: int,
    table_of: Callable[[Condition], Path],
) -> dict[Condition, Figures]:
    started = time.monotonic()
    items = {task.id: load_items(task, run_seed) for task in benchmark.tasks}
    theirs = [task for task in benchmark.tasks if task.kind == "lighteval"]
    references = list(read_table(layout.BENCHMARK_ITEMS, BenchmarkItem)) if theirs else []
    grader = StudentGrader(item_cpu_seconds)
    found = {}
    with Journal.open() as journal, work_folder() as work:
        models = {
            condition: Model(engine, journal, "student", "/".join(map(str, condition)))
            for condition, engine in engines.items()
        }
        try:
            output = await _run(models, benchmark, items, grader, run_seed, Path(work))
            for number, (condition, model) in enumerate(models.items()):
                samples = read_samples(output, benchmark, condition, number)
                write_table(table_of(condition), Sample, samples)
                found[condition] = metrics(samples, benchmark)
                beside = await grade_beside(samples, theirs, references, grader)
                for task, compared in beside.items():
                    found[condition][task]["by_our_rule"] = compared
                click.echo(_line(condition, benchmark, found[condition], model.hits, len(samples)))
        finally:
            await grader.close()
    click.echo(f"{len(found)} students, {time.monotonic() - started:.0f} s")
    return found


async def _run(
    models: Mapping[Condition, Model],
    benchmark: Benchmark,
    items: Mapping[str, list[Item]],
    grader: StudentGrader,
    run_seed: int,
    work: Path,
) -> Path:
    engines = [model.engine for model in models.values()]
    concurrency = min(engine.concurrency for engine in engines)
    try:
        return await run_lighteval(
            benchmark.tasks, items, list(models.values()), grader, concurrency, run_seed, work
        )
    finally:
        for engine in engines:
            await engine.close()


def _line(
    condition: Condition, benchmark: Benchmark, figures: Figures, hits: int, samples: int
) -> str:
    scores = ", ".join(
        f"{task} {facts['score']:.3f}" if "score" in facts else f"{task} no finished answer"
        for task, facts in figures.items()
    )
    return (
        f"{condition.teacher}, seed {condition.seed}: {benchmark.score} scores: {scores}; "
        f"{hits} of {samples} answers from the journal"
    )
