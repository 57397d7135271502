"""The parallel sets: for each compared teacher the accepted answers to the queries that all of them answered."""

from stillhouse import layout
from stillhouse.files import read_json, write_json
from stillhouse.filter.align import align
from stillhouse.filter.parallel_set import parallel_set_figures
from stillhouse.leftovers import remove_leftovers
from stillhouse.params.base import Id
from stillhouse.params.stage import load_stage
from stillhouse.stage import stage_command


@stage_command
def main() -> None:
    """Write data/aligned/<teacher> for every teacher, and the figures of the parallel set."""
    params = load_stage()
    teachers = params.read(list[Id], "teacher_ids")
    compared = params.read(list[Id], "compared_ids")
    remove_leftovers(teachers)
    written = align(teachers, compared)
    errors = (read_json(layout.metrics(name)) for name in ("audit", "judge_audit"))
    write_json(layout.metrics("align"), written | parallel_set_figures(compared, *errors))


if __name__ == "__main__":
    main()
