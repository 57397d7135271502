"""Stage model_card: the cards of the students of one family, with their scores and the intervals of these."""

import click

from stillhouse import layout
from stillhouse.analysis.answered import sample_columns
from stillhouse.analysis.conditions import UNTRAINED, Condition
from stillhouse.analysis.of_student import student_rows
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
    controls = params.section(Controls, "controls")
    seeds = params.read(list[int], "training_seeds")
    untrained = sample_columns(layout.samples_untrained(student))
    for teacher in controls.released(params.read(list[Id], "compared_ids")):
        trained = [Condition(teacher, student, seed) for seed in seeds]
        samples = {
            one: sample_columns(layout.samples(student, teacher, one.seed)) for one in trained
        }
        scores = student_rows(
            samples | {Condition(UNTRAINED, student, 0): untrained},
            [task.id for task in benchmark.tasks],
            benchmark.score,
            published=trained[0],
            confidence=params.section(Report, "report").confidence,
        )
        facts = student_facts(params, teacher, student, scores)
        write_model_card(layout.model_card(student, teacher), facts)


if __name__ == "__main__":
    main()
