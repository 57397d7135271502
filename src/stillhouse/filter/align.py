"""The parallel set: the queries that every compared teacher answered, and what dropping the others costs.

Every query of the paper's released sets has an accepted answer of all three teachers. Dropping the rest favours easy
queries, so the share lost per category is reported (survivorship).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from stillhouse import layout
from stillhouse.records import Example, Query
from stillhouse.tables.read import read_column, read_table
from stillhouse.tables.write import write_table


def align(teachers: Sequence[str], compared: Sequence[str]) -> dict[str, Any]:
    """Write the set of each teacher, and return the metrics of the stage.

    A compared teacher's set is the parallel one. One that is only asked keeps all its accepted rows.
    """
    kept: dict[str, int] = {}

    def ids(teacher: str) -> set[str]:
        found = set(read_column(layout.accepted(teacher), "query_id"))
        kept[teacher] = len(found)
        return found

    parallel = parallel_ids(map(ids, compared))
    asked_only = [teacher for teacher in teachers if teacher not in compared]
    for teacher in teachers:
        rows = read_table(layout.accepted(teacher), Example)
        if teacher in asked_only:
            ids(teacher)
        else:
            rows = (row for row in rows if row.query_id in parallel)
        write_table(layout.aligned(teacher), Example, rows)
    survivors = survivorship(read_table(layout.CURATED_QUERIES, Query), parallel)
    return {
        "queries": sum(counts["queries"] for counts in survivors.values()),
        "compared": list(compared),
        "not_compared": asked_only,
        "kept": {teacher: kept[teacher] for teacher in teachers},
        "parallel": len(parallel),
        "by_category": {category: c["parallel"] for category, c in survivors.items()},
        "survivorship": survivors,
    }


def parallel_ids(accepted: Iterable[Iterable[str]]) -> set[str]:
    """Return the query ids that are in the accepted set of every teacher, which are taken one after the other."""
    found: set[str] | None = None
    for ids in accepted:
        found = set(ids) if found is None else found.intersection(ids)
    return found or set()


def survivorship(queries: Iterable[Query], parallel: set[str]) -> dict[str, dict[str, Any]]:
    """Return per category the number of queries, of those in the parallel set, and the share kept."""
    total: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    for query in queries:
        total[query.category] += 1
        kept[query.category] += query.id in parallel
    return {
        category: {
            "queries": total[category],
            "parallel": kept[category],
            "share": round(kept[category] / total[category], 4),
        }
        for category in sorted(total)
    }
