"""Stage model_card: the card of one student, with its scores and their intervals."""

import click

from stillhouse import layout
from stillhouse.analysis.scores import sample_columns, score_rows
from stillhouse.package.model_card import student_facts, write_model_card
from stillhouse.params.benchmark import Benchmark
from stillhouse.params.run import Report
from stillhouse.params.stage import load_stage
from stillhouse.stage import stage_command


@stage_command
@click.argument("teacher")
@click.argument("student")
def main(teacher: str, student: str) -> None:
    """Write data/model_cards/TEACHER/STUDENT."""
    params = load_stage()
    benchmark = params.section(Benchmark, "benchmark")
    report = params.section(Report, "report")
    scores = score_rows(
        {(teacher, student): sample_columns(layout.samples(teacher, student))},
        [task.id for task in benchmark.tasks],
        benchmark.score,
        resamples=report.resamples,
        confidence=report.confidence,
        seed=params.read(int, "run.seed"),
    )
    facts = student_facts(params, teacher, student, scores)
    write_model_card(layout.model_card(teacher, student), facts)


if __name__ == "__main__":
    main()
