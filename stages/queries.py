"""The query set: every source loaded, cleaned, freed of duplicates, and of what overlaps a benchmark of this run.

Instruction queries that come without constraints are given demands by the judge.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec

from stillhouse.benchmark.items import load_items
from stillhouse.files import write_json
from stillhouse.journal.journal import Journal
from stillhouse.models.build import ModelRoom
from stillhouse.params.base import ParamsError
from stillhouse.params.benchmark import BenchmarkTask
from stillhouse.params.load import load_teacher
from stillhouse.params.queries import Queries
from stillhouse.params.stage import StageParams, load_stage
from stillhouse.progress import Progress
from stillhouse.queries.clean import clean
from stillhouse.queries.decontaminate import Contamination, Reference, decontaminate
from stillhouse.queries.dedup import deduplicate
from stillhouse.queries.sources import load_source
from stillhouse.records import CATEGORIES, Query, Rejected
from stillhouse.stage import stage_command
from stillhouse.tables.table import write_table
from stillhouse.verify.demands import lacks_constraints, write_all_demands

OUT = Path("data/queries")
# lighteval takes the items of these tasks from the Hub itself, so that we cannot compare with them here.
NOT_COMPARED = "lighteval"


@stage_command
def main() -> None:
    """Write data/queries: curated, rejected, and the evidence of contamination."""
    params = load_stage()
    seed = params.read(int, "run.seed")
    spec = params.section(Queries, "queries")
    tasks = params.read(list[BenchmarkTask], "benchmark.tasks")
    items = [item for task in tasks for item in load_items(task, seed)]

    loaded = [query for source in spec.sources for query in load_source(source, seed)]
    rejected: list[Rejected] = []
    cleaned = _kept(clean(loaded, spec.clean), rejected)
    unique = _kept(deduplicate(cleaned, spec.dedup), rejected)
    references = [Reference(item.task, item.id, item.prompt) for item in items]
    curated: list[Query] = []
    contaminations: list[Contamination] = []
    for row in decontaminate(unique, references, spec.decontaminate):
        if isinstance(row, Query):
            curated.append(row)
        else:
            rejected.append(row[0])
            contaminations.append(row[1])

    demands: Counter[str] = Counter()
    if any(lacks_constraints(query) for query in curated):
        curated, demands = asyncio.run(with_demands(curated, params))

    write_table(OUT / "curated", Query, curated)
    write_table(OUT / "rejected", Rejected, rejected)
    compared = [task.id for task in tasks if task.kind != NOT_COMPARED]
    write_json(
        OUT / "contamination.json",
        {
            "compared": {task: sum(i.task == task for i in items) for task in compared},
            "not_compared": [task.id for task in tasks if task.kind == NOT_COMPARED],
            "found": msgspec.to_builtins(contaminations),
        },
    )
    found = Counter(contamination.task for contamination in contaminations)
    write_json(
        Path("metrics/queries.json"),
        metrics(spec, loaded, curated, rejected)
        | {
            "contamination": {task: found[task] for task in compared},
            "demands": {"asked": demands.total(), **demands},
        },
    )


async def with_demands(
    queries: list[Query], params: StageParams
) -> tuple[list[Query], Counter[str]]:
    """Let the judge write demands where constraints are lacking; also return how often that came to what."""
    judge_id = params.read(str, "verify.judge.model")
    spec = params.teacher(judge_id)
    if spec.sampling is None:
        raise ParamsError(f"params.yaml: verify.judge.model: {judge_id} is a replay; name a model")
    with Journal.open() as journal:
        room = ModelRoom(journal)
        judge = room.model(judge_id, spec, load_teacher(judge_id).runtime, "judge")
        try:
            with Progress("demands", sum(map(lacks_constraints, queries))) as progress:
                return await write_all_demands(
                    judge, queries, spec.sampling.max_tokens, progress.advance
                )
        finally:
            await room.close()


def _kept(rows: Iterable[Query | Rejected], rejected: list[Rejected]) -> list[Query]:
    """Return the queries kept; the rejections are added to `rejected`."""
    kept = []
    for row in rows:
        if isinstance(row, Query):
            kept.append(row)
        else:
            rejected.append(row)
    return kept


def metrics(
    spec: Queries, loaded: list[Query], curated: list[Query], rejected: list[Rejected]
) -> dict[str, object]:
    """Return the counts in all, by category and by source, and the rejections by reason."""
    loaded_of, kept_of = Counter(q.category for q in loaded), Counter(q.category for q in curated)
    licenses: dict[str, set[str]] = {source.id: set() for source in spec.sources}
    for query in loaded:
        licenses[query.source].add(query.license)
    loaded_from, kept_from = Counter(q.source for q in loaded), Counter(q.source for q in curated)
    return {
        "loaded": len(loaded),
        "kept": len(curated),
        "rejected": dict(Counter(row.reason for row in rejected)),
        "by_category": {
            category: {"loaded": loaded_of[category], "kept": kept_of[category]}
            for category in CATEGORIES
            if loaded_of[category]
        },
        "by_source": {
            source.id: {
                "loaded": loaded_from[source.id],
                "kept": kept_from[source.id],
                "licenses": sorted(licenses[source.id]),
                "category": source.category,
            }
            for source in spec.sources
        },
    }


if __name__ == "__main__":
    main()
