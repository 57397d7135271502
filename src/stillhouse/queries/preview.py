"""The first rows of a source as the queries stage would read them, before anything runs."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from stillhouse.params.queries import Source
from stillhouse.queries.sources import RowRead, load_source
from stillhouse.records import Query, Rejected

HEAD_CHARS = 240  # of a prompt


@dataclass
class SourcePreview:
    """What became of the rows read so far; `rows` are JSON-ready, counts are of all rows read."""

    read: int = 0
    queries: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)
    not_selected: Counter[str] = field(default_factory=Counter)


def preview(source: Source, run_seed: int, rows: int) -> SourcePreview:
    """Return what becomes of the first rows of a source.

    Args:
        source: its parameters.
        run_seed: the run's seed, for generated questions.
        rows: how many queries and rejections are shown; rows that are not selected are only counted.

    Raises:
        QueriesError: as `load_source`, as far as the rows read show it.
    """
    found = SourcePreview()
    for row in islice(_counted(load_source(source, run_seed), found), rows):
        found.rows.append(_rejection(row) if isinstance(row, Rejected) else _query(row))
    return found


def _counted(rows: Iterator[RowRead], found: SourcePreview) -> Iterator[Query | Rejected]:
    for row in rows:
        found.read += 1
        if isinstance(row, Query):
            found.queries += 1
            yield row
        elif isinstance(row, Rejected):
            found.rejected[row.reason] += 1
            yield row
        else:
            found.not_selected[row.reason] += 1


def _query(query: Query) -> dict[str, Any]:
    return {
        "kind": "query",
        "id": query.id,
        "category": query.category,
        "license": query.license,
        "turns": len(query.messages),
        "prompt": query.prompt[:HEAD_CHARS],
        "prompt_characters": len(query.prompt),
        "references": query.references,
        "language": query.language,
        "entry_point": query.entry_point,
        "tests": len(query.tests),
        "first_test": _first_test(query),
        "constraints": [constraint.id for constraint in query.constraints],
    }


def _first_test(query: Query) -> str | None:
    if not query.tests:
        return None
    test = query.tests[0]
    text = test.code if test.kind == "assert" else f"{test.input!r} -> {test.output!r}"
    return (text or "")[:HEAD_CHARS]


def _rejection(row: Rejected) -> dict[str, Any]:
    return {"kind": "rejection", "row": row.row, "reason": row.reason, "evidence": row.evidence}
