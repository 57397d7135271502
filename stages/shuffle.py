"""Stage shuffle: a control, one teacher's parallel set with the answers permuted within each category."""

import click

from stillhouse import layout
from stillhouse.filter.shuffle import shuffle
from stillhouse.params.stage import load_stage
from stillhouse.stage import stage_command


@stage_command
@click.argument("teacher")
def main(teacher: str) -> None:
    """Write data/shuffled/TEACHER."""
    seed = load_stage().read(int, "run.seed")
    shuffle(layout.aligned(teacher), layout.shuffled(teacher), seed)


if __name__ == "__main__":
    main()
