"""Stage report: one page that answers the question, the flat figures, and the rows of the plots."""

from pathlib import Path

from stillhouse.leftovers import remove_leftovers, remove_student_leftovers
from stillhouse.params.base import Id
from stillhouse.params.stage import load_stage
from stillhouse.report.inputs import read_run
from stillhouse.report.write import analyse, settings_of, trained_of, write_figures, write_page
from stillhouse.stage import stage_command


@stage_command
def main() -> None:
    """Write report/, metrics/summary.json and plots/*.csv."""
    params = load_stage()
    settings = settings_of(params)
    students = params.read(list[Id], "student_ids")
    remove_leftovers(list(settings.teachers), students)
    trained = trained_of(settings, students)
    remove_student_leftovers(students, {c.teacher for c in trained}, settings.training_seeds)
    files = read_run(Path(), list(settings.teachers), trained, settings.compared)
    rows = analyse(files, settings)
    write_page(files, rows, settings)
    write_figures(files, rows, settings)


if __name__ == "__main__":
    main()
