"""The query set: every source loaded, cleaned, freed of duplicates, and of what overlaps a benchmark of this run.

Instruction queries that come without constraints are given demands by the judge.
"""

import asyncio
import dataclasses
from collections import Counter

from stillhouse import layout
from stillhouse.files import read_json, write_json
from stillhouse.models.judge import judge_of
from stillhouse.package.licenses import refuse_unknown, restrictions
from stillhouse.params.queries import Queries
from stillhouse.params.stage import load_stage
from stillhouse.queries.curate import curate, refuse_unchecked, write
from stillhouse.queries.decontaminate import benchmark_references
from stillhouse.stage import stage_command
from stillhouse.verify.add_demands import add_demands
from stillhouse.verify.demands import lacks_constraints


@stage_command
def main() -> None:
    """Write data/queries: curated, rejected, and the evidence of contamination."""
    params = load_stage()
    seed = params.read(int, "run.seed")
    spec = params.section(Queries, "queries")
    counts: dict[str, int] = read_json(layout.metrics("benchmark_items"))
    refuse_unchecked(counts, spec.decontaminate)
    references = benchmark_references(layout.BENCHMARK_ITEMS)
    allowed = params.read(list[str], "package.allow_licenses")

    found = curate(spec, references, seed, restrictions)
    refuse_unknown(found.loaded.queries, allowed)
    demands: Counter[str] = Counter()
    if any(lacks_constraints(query) for query in found.curated):
        queries, demands = asyncio.run(add_demands(found.curated, *judge_of(params)))
        found = dataclasses.replace(found, curated=queries)
    write_json(layout.metrics("queries"), write(found, spec, counts, demands))


if __name__ == "__main__":
    main()
