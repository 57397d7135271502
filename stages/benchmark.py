"""Let the trained students of one family answer the benchmark tasks under lighteval, and score their answers."""

from typing import Any

import click

from stillhouse import layout
from stillhouse.analysis.conditions import Condition
from stillhouse.benchmark.family import run_family
from stillhouse.benchmark.student import trained_engines
from stillhouse.files import write_json
from stillhouse.leftovers import remove_student_leftovers
from stillhouse.params.base import Id
from stillhouse.params.benchmark import Benchmark
from stillhouse.params.load import load_student
from stillhouse.params.run import Controls
from stillhouse.params.stage import load_stage
from stillhouse.stage import stage_command


@stage_command
@click.argument("student")
def main(student: str) -> None:
    """Benchmark STUDENT as trained on the examples of each teacher, with each seed."""
    params = load_stage()
    controls = params.section(Controls, "controls")
    teachers = controls.trained(params.read(list[Id], "compared_ids"))
    seeds = params.read(list[int], "training_seeds")
    remove_student_leftovers([student], teachers, seeds)
    engines = trained_engines(
        [Condition(teacher, student, seed) for teacher in teachers for seed in seeds],
        params.student(student),
        params.section(Benchmark, "benchmark").sampling,
        load_student(student).runtime,  # untracked by design: where and how fast, never what
    )
    found = run_family(
        params, engines, lambda one: layout.samples(one.student, one.teacher, one.seed)
    )
    by_teacher: dict[str, dict[str, Any]] = {teacher: {} for teacher in teachers}
    for condition, figures in found.items():
        by_teacher[condition.teacher][str(condition.seed)] = figures
    write_json(layout.metrics("benchmark", student), by_teacher)


if __name__ == "__main__":
    main()
