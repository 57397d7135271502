"""The query set: every source loaded, cleaned, freed of duplicates, and of what overlaps a benchmark of this run.

Instruction queries that come without constraints are given demands by the judge.
"""

import asyncio
import dataclasses
from collections import Counter

from stillhouse import layout
from stillhouse.benchmark.items import load_items
from stillhouse.files import write_json
from stillhouse.models.judge import judge_of
from stillhouse.package.licenses import restrictions
from stillhouse.params.benchmark import BenchmarkTask
from stillhouse.params.queries import Queries
from stillhouse.params.stage import load_stage
from stillhouse.queries.curate import curate, write
from stillhouse.queries.decontaminate import Reference
from stillhouse.stage import stage_command
from stillhouse.verify.add_demands import add_demands
from stillhouse.verify.demands import lacks_constraints


@stage_command
def main() -> None:
    """Write data/queries: curated, rejected, and the evidence of contamination."""
    params = load_stage()
    seed = params.read(int, "run.seed")
    spec = params.section(Queries, "queries")
    tasks = params.read(list[BenchmarkTask], "benchmark.tasks")
    items = [item for task in tasks for item in load_items(task, seed)]
    references = [Reference(item.task, item.id, item.prompt) for item in items]

    found = curate(spec, references, seed, restrictions)
    demands: Counter[str] = Counter()
    if any(lacks_constraints(query) for query in found.curated):
        queries, demands = asyncio.run(add_demands(found.curated, *judge_of(params)))
        found = dataclasses.replace(found, curated=queries)
    write_json(layout.metrics("queries"), write(found, spec, tasks, references, demands))


if __name__ == "__main__":
    main()
