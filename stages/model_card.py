"""Stage model_card: the cards of the students of one family, with their scores and the intervals of these."""

import click

from stillhouse import layout
from stillhouse.analysis.scores import sample_columns, score_rows
from stillhouse.package.model_card import student_facts, write_model_card
from stillhouse.params.base import Id
from stillhouse.params.benchmark import Benchmark
from stillhouse.params.run import Controls, Report
from stillhouse.params.stage import load_stage
from stillhouse.stage import stage_command


@stage_command
@click.argument("student")
def main(student: str) -> None:
    """Write data/model_cards/STUDENT, with a folder for each teacher that is ranked."""
    params = load_stage()
    benchmark = params.section(Benchmark, "benchmark")
    report = params.section(Report, "report")
    controls = params.section(Controls, "controls")
    published, *_ = params.read(list[int], "training_seeds")
    for teacher in controls.released(params.read(list[Id], "compared_ids")):
        scores = score_rows(
            {(teacher, student): sample_columns(layout.samples(student, teacher, published))},
            [task.id for task in benchmark.tasks],
            benchmark.score,
            resamples=report.resamples,
            confidence=report.confidence,
            seed=params.read(int, "run.seed"),
        )
        facts = student_facts(params, teacher, student, scores)
        write_model_card(layout.model_card(student, teacher), facts)


if __name__ == "__main__":
    main()
