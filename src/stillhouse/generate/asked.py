"""Which queries a teacher is asked: all of the run, or those of its `sources`."""

from collections import Counter
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stillhouse import layout
from stillhouse.params.teacher import Teacher
from stillhouse.records import Query
from stillhouse.tables.read import column_counts, read_table, shard_paths


def asked_queries(teacher: Teacher) -> Iterator[Query]:
    """Return the queries of a teacher as a stream, in the order of their ids."""
    queries = read_table(layout.CURATED_QUERIES, Query)
    if teacher.sources is None:
        return queries
    sources = frozenset(teacher.sources)
    return (query for query in queries if query.source in sources)


def asked_categories(teacher: Teacher) -> Counter[str]:
    """Return the number of a teacher's queries by category; their texts are not read."""
    if teacher.sources is None:
        return column_counts(layout.CURATED_QUERIES, "category")
    wanted = pa.array(teacher.sources, pa.string())
    counts: Counter[str] = Counter()
    for path in shard_paths(layout.CURATED_QUERIES):
        rows = pq.read_table(path, columns=["category", "source"])
        asked = rows.filter(pc.is_in(rows.column("source"), wanted))
        counts.update(asked.column("category").to_pylist())
    return counts
