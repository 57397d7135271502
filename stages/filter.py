"""At most one accepted response per query of one teacher, and a reason for every response that is not it."""

import click

from stillhouse import layout
from stillhouse.files import write_json
from stillhouse.filter.attempts import filter_all
from stillhouse.filter.rules import Rules
from stillhouse.params.files import TEACHERS_FOLDER
from stillhouse.params.filter import Filter
from stillhouse.params.runtime import filter_runtime
from stillhouse.params.stage import load_stage
from stillhouse.params.teacher import marks_of
from stillhouse.stage import stage_command


@stage_command
@click.argument("teacher")
def main(teacher: str) -> None:
    """Write data/filtered/TEACHER: the accepted examples and every decision."""
    params = load_stage()
    filtering = params.section(Filter, "filter")
    spec = params.teacher(teacher)
    cut = params.value("perplexity_cut", TEACHERS_FOLDER / f"{teacher}.yaml")
    rules = Rules(filtering, cut, marks_of(spec.reasoning))
    memory = filter_runtime(filtering.ngram).ngram_memory_mb  # untracked: it changes no result
    tally = filter_all(teacher, spec, rules, filtering.ngram, memory)
    write_json(layout.metrics("filter", teacher), {**tally.metrics(), "rules": rules.metrics()})
    # Apart from the rest: times differ between two runs with the same result.
    write_json(layout.effort("filter", teacher), {"seconds": rules.seconds()})


if __name__ == "__main__":
    main()
