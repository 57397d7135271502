"""Which rows of the parallel set fit into a student's context for all teachers, and which of them it is trained on."""

import click

from stillhouse import layout
from stillhouse.files import write_json
from stillhouse.params.base import Id
from stillhouse.params.files import STUDENTS_FOLDER, parse
from stillhouse.params.stage import load_stage
from stillhouse.params.student import StudentText, TrainingBudget
from stillhouse.sft.fit import fit
from stillhouse.stage import stage_command


@stage_command
@click.argument("student")
def main(student: str) -> None:
    """Write data/fit/STUDENT: the token lengths of all rows, and the ids to train on by teacher."""
    params = load_stage()
    path = STUDENTS_FOLDER / f"{student}.yaml"
    text = {
        key: params.value(f"student.{key}", path)
        for key in ("model", "revision", "chat_template", "turn_format")
    }
    text["max_length"] = params.value("student.recipe.max_length", path)
    metrics = fit(
        student,
        parse(StudentText, text, f"{path}: student"),
        params.read(list[Id], "compared_ids"),
        params.section(TrainingBudget, "training_budget"),
    )
    write_json(layout.metrics("fit", student), metrics)
    click.echo(
        f"{metrics['fits_all']} of {metrics['aligned']} queries fit {metrics['max_length']} tokens for all teachers"
    )


if __name__ == "__main__":
    main()
