"""The parallel set: the queries that every teacher answered, and what dropping the others costs.

Every query of the paper's released sets has an accepted answer of all three teachers. Dropping the rest favours easy
queries, so the share lost per category is reported (survivorship).
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from stillhouse.records import Query


def parallel_ids(accepted: Mapping[str, Iterable[str]]) -> set[str]:
    """Return the query ids that stand in every teacher's accepted set."""
    sets = [set(ids) for ids in accepted.values()]
    return set.intersection(*sets) if sets else set()


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
