"""The parallel sets: for each compared teacher the accepted answers to the queries that all of them answered."""

from stillhouse import layout
from stillhouse.files import write_json
from stillhouse.filter.align import align
from stillhouse.leftovers import remove_leftovers
from stillhouse.params.base import Id
from stillhouse.params.stage import load_stage
from stillhouse.stage import stage_command


@stage_command
def main() -> None:
    """Write data/aligned/<teacher> for every teacher."""
    params = load_stage()
    teachers = params.read(list[Id], "teacher_ids")
    remove_leftovers(teachers)
    write_json(layout.metrics("align"), align(teachers, params.read(list[Id], "compared_ids")))


if __name__ == "__main__":
    main()
