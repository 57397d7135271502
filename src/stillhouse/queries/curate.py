"""From the sources of a run to its query set: cleaned, freed of duplicates, and of what overlaps a benchmark."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from stillhouse import layout
from stillhouse.errors import StillhouseError
from stillhouse.files import write_json
from stillhouse.params.queries import Decontaminate, Queries
from stillhouse.queries.clean import clean
from stillhouse.queries.decontaminate import Contamination, Reference, decontaminate
from stillhouse.queries.dedup import Conflict, deduplicate
from stillhouse.queries.load import Loaded, counts, load_sources
from stillhouse.queries.origins import origin_of
from stillhouse.records import CATEGORIES, Query, Rejected
from stillhouse.tables.write import write_table


class UncheckedError(StillhouseError):
    """A benchmark of the run has no items that the queries could be compared with."""


@dataclass(frozen=True)
class QuerySet:
    """What was loaded, kept and rejected, the overlaps with benchmarks, and the duplicates that disagree."""

    loaded: Loaded
    curated: list[Query]
    rejected: list[Rejected]
    contaminations: list[Contamination]
    conflicts: list[Conflict]


def curate(
    spec: Queries,
    references: Iterable[Reference],
    seed: int,
    restrictions: Callable[[str], int],
) -> QuerySet:
    """Load all sources and return what is left of them.

    Args:
        spec: the parameters of the stage.
        references: the benchmark items of this run.
        seed: the run's seed.
        restrictions: how much a licence restricts its users; of duplicates, the one with the fewest is kept.
    """
    loaded = load_sources(spec, seed)
    rejected = list(loaded.rejected)
    cleaned = _kept(clean(loaded.queries, spec.clean), rejected)
    order = [source.id for source in spec.sources]
    rows, conflicts = deduplicate(cleaned, spec.dedup, order, restrictions)
    unique = _kept(rows, rejected)
    curated: list[Query] = []
    contaminations: list[Contamination] = []
    for row in decontaminate(unique, references, spec.decontaminate):
        if isinstance(row, Query):
            curated.append(row)
        else:
            rejected.append(row[0])
            contaminations.append(row[1])
    return QuerySet(loaded, curated, rejected, contaminations, conflicts)


def refuse_unchecked(items: Mapping[str, int], rules: Decontaminate) -> None:
    """Refuse a benchmark without items, unless `allow_unchecked` names it.

    Raises:
        UncheckedError: see the class; the message names the tasks.
    """
    unchecked = sorted(t for t, n in items.items() if not n and t not in rules.allow_unchecked)
    if unchecked:
        raise UncheckedError(
            f"benchmark task {', '.join(unchecked)}: no items to compare the queries with; run the stage "
            "benchmark_items again, or name the task in queries.decontaminate.allow_unchecked: card and report say it"
        )


def write(
    found: QuerySet,
    spec: Queries,
    items: Mapping[str, int],
    demands: Counter[str],
) -> dict[str, Any]:
    """Write data/queries (curated, rejected, and the evidence of contamination), and return the metrics of the stage.

    Args:
        found: the query set.
        spec: the parameters of the stage.
        items: how many items each benchmark task of this run has here; none: the task was not compared.
        demands: how often asking for demands had which outcome.
    """
    write_table(layout.CURATED_QUERIES, Query, found.curated)
    write_table(layout.REJECTED_QUERIES, Rejected, map(_with_source, found.rejected))
    compared = [task for task, count in items.items() if count]
    write_json(
        layout.CONTAMINATION,
        {
            "compared": {task: items[task] for task in compared},
            "not_compared": [task for task, count in items.items() if not count],
            "found": msgspec.to_builtins(found.contaminations),
        },
    )
    write_json(layout.CONFLICTS, msgspec.to_builtins(found.conflicts))
    overlaps = Counter(contamination.task for contamination in found.contaminations)
    return metrics(spec, found.loaded, found.curated, found.rejected) | {
        "contamination": {task: overlaps[task] for task in compared},
        "not_compared": [task for task, count in items.items() if not count],
        "conflicts": _conflict_counts(found.conflicts),
        "demands": {"asked": demands.total(), **demands},
    }


def _conflict_counts(conflicts: list[Conflict]) -> dict[str, int]:
    """Return how many pairs of duplicates with different references there are, by their sources: `a/b`."""
    return dict(sorted(Counter(f"{c.source}/{c.other_source}" for c in conflicts).items()))


def _kept(rows: Iterable[Query | Rejected], rejected: list[Rejected]) -> list[Query]:
    """Return the queries kept; the rejections are added to `rejected`."""
    kept = []
    for row in rows:
        if isinstance(row, Query):
            kept.append(row)
        else:
            rejected.append(row)
    return kept


def _with_source(row: Rejected) -> Rejected:
    """Return a rejection with the name of its source, which only a row without a query has from the start."""
    return row if row.query is None else msgspec.structs.replace(row, source=row.query.source)


def metrics(
    spec: Queries, loaded: Loaded, curated: list[Query], rejected: list[Rejected]
) -> dict[str, object]:
    """Return the counts in all, by category and by source, and the rejections by reason.

    `loaded`, `kept` and `rejected` count queries, `rows_rejected` the rows that could not become one. Rows that were
    left out by design are counted by source (`not_selected`).
    """
    queries = loaded.queries
    loaded_of, kept_of = Counter(q.category for q in queries), Counter(q.category for q in curated)
    licenses: dict[str, set[str]] = {source.id: set() for source in spec.sources}
    for query in queries:
        licenses[query.source].add(query.license)
    loaded_from, kept_from = Counter(q.source for q in queries), Counter(q.source for q in curated)
    by_source = {}
    for source in spec.sources:
        origin = origin_of(source)
        by_source[source.id] = {
            "loaded": loaded_from[source.id],
            "kept": kept_from[source.id],
            "licenses": sorted(licenses[source.id]),
            "category": origin.category,
            **counts(loaded, source.id),
        }
        if origin.repo is not None:
            by_source[source.id] |= {"repo": origin.repo, "revision": origin.revision}
    return {
        "loaded": len(queries),
        "kept": len(curated),
        "rejected": dict(Counter(row.reason for row in rejected if row.query is not None)),
        "rows_rejected": dict(Counter(row.reason for row in rejected if row.query is None)),
        "by_category": {
            category: {"loaded": loaded_of[category], "kept": kept_of[category]}
            for category in CATEGORIES
            if loaded_of[category]
        },
        "by_source": by_source,
    }
