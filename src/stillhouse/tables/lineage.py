"""The history of one row, looked up in the tables of a run by id or unique prefix.

Tables are sorted by their key, so Parquet's statistics exclude the row groups that cannot hold an id, and only the
others are read. In a table with another key than the query id, the id columns are searched first and the texts are then
read by key.
"""

import functools
import operator
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import pyarrow.dataset as ds

from stillhouse import layout
from stillhouse.errors import StillhouseError
from stillhouse.hashing import ID_HEX_DIGITS
from stillhouse.records import (
    Decision,
    Perplexity,
    Query,
    Rejected,
    Response,
    Row,
    RowT,
    Verdict,
    from_dict,
)
from stillhouse.tables.read import TableError, key_column, shard_errors, shard_paths

Kind = Literal["query", "response", "released row"]

SHORTEST_PREFIX = 4
_AFTER_HEX = "g"  # sorts after every hex digit: prefix <= id < prefix + "g"
_SHOWN_MATCHES = 5


class LineageError(StillhouseError):
    """An id matches no row, or more than one."""


class Match(NamedTuple):
    """The row that an id matches. `teacher` and `attempt` are null for a query."""

    kind: Kind
    id: str
    query_id: str
    teacher: str | None = None
    attempt: int | None = None


class AttemptHistory(NamedTuple):
    """One attempt with the results of the later stages; None where the stage has not run."""

    response: Response
    verdict: Verdict | None
    perplexity: Perplexity | None
    decision: Decision | None


class TeacherLineage(NamedTuple):
    """The attempts of one teacher at the query. `stages` are the stages whose tables exist."""

    teacher: str
    attempts: list[AttemptHistory]
    stages: frozenset[str]
    in_parallel_set: bool


class Lineage(NamedTuple):
    """Everything in a run about one query. `rejected` is null unless the queries stage dropped it."""

    query: Query
    rejected: Rejected | None
    teachers: list[TeacherLineage]


def find(prefix: str, teacher_ids: list[str], root: Path = Path()) -> Match:
    """Return the one query, response or released row whose id starts with `prefix`.

    If the prefix matches a query and otherwise only responses to it, the match is the query.

    Args:
        prefix: an id, or its first digits.
        teacher_ids: the teachers of the run.
        root: the project folder.

    Raises:
        LineageError: `prefix` is not an id, or matches no row or several.
        TableError: a shard is corrupt.
    """
    if not re.fullmatch(rf"[0-9a-f]{{{SHORTEST_PREFIX},{ID_HEX_DIGITS}}}", prefix):
        raise LineageError(
            f"{prefix!r}: an id is {ID_HEX_DIGITS} hex digits; give it whole or at least its first {SHORTEST_PREFIX}"
        )
    found = sorted(set(_candidates(prefix, teacher_ids, root)))
    if not found:
        raise LineageError(
            f"{prefix}: no query, response or released row of this run has this id; "
            "if the data are not here, run `dvc checkout` or `dvc pull`"
        )
    queries = [match for match in found if match.kind == "query"]
    if queries and len({match.query_id for match in found}) == 1:
        return queries[0]
    if len({match.id for match in found}) > 1:
        shown = ", ".join(f"{match.id} ({match.kind})" for match in found[:_SHOWN_MATCHES])
        more = "" if len(found) <= _SHOWN_MATCHES else f" and {len(found) - _SHOWN_MATCHES} more"
        raise LineageError(f"{prefix}: matches {len(found)} rows, give more digits: {shown}{more}")
    return found[0]


def trace(found: Match, teacher_ids: list[str], root: Path = Path()) -> Lineage:
    """Return the query of a matched row with the attempts at it.

    Args:
        found: the matched row. For a query all teachers are returned, for a released row only its teacher, and for a
            response only that response.
        teacher_ids: the teachers of the run.
        root: the project folder.

    Raises:
        LineageError: no table has the query.
        TableError: a shard is corrupt.
    """
    query, rejected = _query(found.query_id, root)
    asked = [t for t in teacher_ids if found.teacher in (None, t)]
    return Lineage(query, rejected, [_teacher(t, found, root) for t in asked])


def _candidates(prefix: str, teacher_ids: list[str], root: Path) -> Iterable[Match]:
    starts = _starts_with(ds.field("id"), prefix)
    for row in _columns(root / layout.CURATED_QUERIES, ["id"], starts):
        yield Match("query", row["id"], row["id"])
    nested = ds.field("query", "id")
    rejected = root / layout.REJECTED_QUERIES
    for row in _columns(rejected, {"id": nested}, _starts_with(nested, prefix)):
        yield Match("query", row["id"], row["id"])
    names = ["id", "query_id", "teacher", "attempt"]
    for teacher in teacher_ids:
        for row in _columns(root / layout.attempts(teacher), names, starts):
            yield Match("response", row["id"], row["query_id"], teacher, row["attempt"])
        for row in _columns(root / layout.accepted(teacher), names, starts):
            yield Match("released row", row["id"], row["query_id"], teacher, row["attempt"])


def _query(query_id: str, root: Path) -> tuple[Query, Rejected | None]:
    curated_folder, rejected_folder = root / layout.CURATED_QUERIES, root / layout.REJECTED_QUERIES
    for query in _rows(curated_folder, Query, ds.field("id") == query_id):
        return query, None
    for rejected in _rows(rejected_folder, Rejected, ds.field("query", "id") == query_id):
        assert rejected.query is not None  # it was found by the id of its query
        return rejected.query, rejected
    raise LineageError(
        f"{query_id}: its responses are here but the query is in neither {curated_folder} nor "
        f"{rejected_folder}; run `dvc checkout`"
    )


def _teacher(teacher: str, found: Match, root: Path) -> TeacherLineage:
    tables = {
        "generate": root / layout.attempts(teacher),
        "verify": root / layout.verdicts(teacher),
        "perplexity": root / layout.perplexities(teacher),
        "filter": root / layout.decisions(teacher),
        "align": root / layout.aligned(teacher),
    }
    of_query = ds.field("query_id") == found.query_id
    only = found.attempt if found.kind == "response" else None
    ids = [
        row["id"]
        for row in _columns(tables["generate"], ["id", "attempt"], of_query)
        if only in (None, row["attempt"])
    ]
    responses = sorted(_by_key(tables["generate"], Response, ids), key=lambda r: r.attempt)
    verdicts = {v.response_id: v for v in _by_key(tables["verify"], Verdict, ids)}
    perplexities = {p.response_id: p for p in _by_key(tables["perplexity"], Perplexity, ids)}
    decisions = {d.response_id: d for d in _by_key(tables["filter"], Decision, ids)}
    return TeacherLineage(
        teacher,
        [
            AttemptHistory(r, verdicts.get(r.id), perplexities.get(r.id), decisions.get(r.id))
            for r in responses
        ],
        frozenset(stage for stage, table in tables.items() if _exists(table)),
        bool(_columns(tables["align"], ["id"], of_query)),
    )


def _starts_with(field: ds.Expression, prefix: str) -> ds.Expression:
    return (field >= prefix) & (field < prefix + _AFTER_HEX)


def _exists(table: Path) -> bool:
    """Return whether a stage has made its table; `shard_paths` raises for a folder without shards."""
    return table.is_dir()


def _columns(
    table: Path, columns: list[str] | dict[str, ds.Expression], where: ds.Expression
) -> list[dict[str, Any]]:
    if not _exists(table):
        return []
    with shard_errors(table):
        shards = ds.dataset([str(path) for path in shard_paths(table)], format="parquet")
        plain: list[dict[str, Any]] = shards.to_table(columns=columns, filter=where).to_pylist()
    return plain


def _by_key(table: Path, row_type: type[RowT], ids: list[str]) -> list[RowT]:
    if not ids:
        return []
    key = ds.field(key_column(row_type))
    # Arrow excludes row groups by equalities, not by `isin`. A query has a handful of attempts.
    return _rows(table, row_type, functools.reduce(operator.or_, (key == i for i in ids)))


def _rows(table: Path, row_type: type[RowT], where: ds.Expression) -> list[RowT]:
    if not _exists(table):
        return []
    names = list(_field_names(row_type))
    try:
        return [from_dict(row_type, plain) for plain in _columns(table, names, where)]
    except msgspec.ValidationError as error:
        raise TableError(f"{table}: {error}; run its stage again") from None


def _field_names(row_type: type[Row]) -> tuple[str, ...]:
    return tuple(field.name for field in msgspec.structs.fields(row_type))
