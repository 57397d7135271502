"""Stage package: writes and lints the Hub repository folders of the run's data sets."""

import dataclasses

from stillhouse import layout
from stillhouse.files import write_json
from stillhouse.leftovers import remove_leftovers
from stillhouse.package.gather import run_facts, run_tables
from stillhouse.package.write import write_release
from stillhouse.params.base import Id
from stillhouse.params.stage import load_stage
from stillhouse.queries.decontaminate import BenchmarkIndex, benchmark_references
from stillhouse.stage import stage_command


@stage_command
def main() -> None:
    """Write data/release: one folder per repository."""
    params = load_stage()
    facts = run_facts(params)
    remove_leftovers(params.read(list[Id], "teacher_ids"), facts.student_ids)
    references = benchmark_references(layout.BENCHMARK_ITEMS)
    index = BenchmarkIndex(references, facts.queries.decontaminate)
    tables = run_tables(list(facts.teachers))
    stats = write_release(layout.RELEASE, tables, facts, overlaps=index.overlap_of_chat)
    written = {name: dataclasses.asdict(found) for name, found in stats.items()}
    write_json(layout.metrics("package"), written)


if __name__ == "__main__":
    main()
