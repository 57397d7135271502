"""The parallel sets: for each teacher the accepted answers to the queries that all teachers answered."""

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
    teachers = load_stage().read(list[Id], "teacher_ids")
    remove_leftovers(teachers)
    write_json(layout.metrics("align"), align(teachers))


if __name__ == "__main__":
    main()
