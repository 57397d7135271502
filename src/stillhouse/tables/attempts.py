"""Joins a teacher's responses, verdicts and perplexities query by query, in one pass and bounded memory.

The id of a response begins with digits of its query's id (`records.QUERY_PART`). Queries, responses, verdicts and
perplexities are therefore all sorted in the order of the queries.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, NamedTuple

from stillhouse import layout
from stillhouse.errors import StillhouseError
from stillhouse.records import QUERY_PART, Perplexity, Query, Response, RowT, Verdict
from stillhouse.tables.read import read_table

ANSWERS_ONLY: dict[str, Any] = {"think": "", "frame": []}


class AttemptsError(StillhouseError):
    """The tables do not belong to the same run; the message names table and row."""


class Attempt(NamedTuple):
    """One response with its query, and with its verdict and perplexity if they were requested and exist."""

    query: Query
    response: Response
    verdict: Verdict | None = None
    perplexity: Perplexity | None = None


class _SortedRows(Generic[RowT]):
    """A reader of a sorted table that advances up to a given key."""

    def __init__(
        self, folder: Path, row_type: type[RowT], key: str, blank: Mapping[str, Any] | None = None
    ) -> None:
        self._folder, self._key = folder, key
        self._rows = read_table(folder, row_type, blank=blank)
        self._head = next(self._rows, None)

    def of(self, key: str) -> list[RowT]:
        """Return the rows whose keys begin with `key`.

        Raises:
            AttemptsError: a row with a smaller key was never requested, so that it belongs to no row.
        """
        found = []
        while self._head is not None:
            own = getattr(self._head, self._key)
            if own[: len(key)] < key:
                raise self._unmatched(own)
            if not own.startswith(key):
                break
            found.append(self._head)
            self._head = next(self._rows, None)
        return found

    def finish(self) -> None:
        """Check that all rows were read.

        Raises:
            AttemptsError: there are rows left.
        """
        if self._head is not None:
            raise self._unmatched(getattr(self._head, self._key))

    def _unmatched(self, key: str) -> AttemptsError:
        return AttemptsError(
            f"{self._folder}: row {key} belongs to no row of the table it is joined to; the tables come from "
            "different runs: run `dvc repro`"
        )


def read_attempts(
    teacher: str,
    *,
    verdicts: bool = False,
    perplexities: bool = False,
    answers_only: bool = False,
    root: Path = Path(),
) -> Iterator[tuple[Query, list[Attempt]]]:
    """Yield each query with a teacher's attempts sorted by number. A query that was not asked has no attempts.

    Args:
        teacher: the teacher's id.
        verdicts: whether to join the verdicts. Every attempt must have one.
        perplexities: whether to join the perplexities. An attempt need not have one.
        answers_only: whether to leave `think` and `frame` of the responses empty, which is twice as fast.
        root: the project folder.

    Raises:
        AttemptsError: a row has no row to join, or an attempt has no verdict.
        TableError: a table is missing or corrupt.
    """
    folder = root / layout.attempts(teacher)
    responses = _SortedRows(folder, Response, "id", ANSWERS_ONLY if answers_only else None)
    verdicts_folder = root / layout.verdicts(teacher)
    judged = _SortedRows(verdicts_folder, Verdict, "response_id") if verdicts else None
    scored = (
        _SortedRows(root / layout.perplexities(teacher), Perplexity, "response_id")
        if perplexities
        else None
    )
    # Attempts by query, for queries whose ids share their first digits; nearly always a single query.
    held: dict[str, list[Attempt]] = {}
    part = ""
    for query in read_table(root / layout.CURATED_QUERIES, Query):
        if query.id[:QUERY_PART] != part:
            _refuse_held(held, folder)
            part = query.id[:QUERY_PART]
            for response in responses.of(part):
                verdict = _first(judged.of(response.id)) if judged else None
                if judged and verdict is None:
                    raise AttemptsError(
                        f"{verdicts_folder}: no row for {response.id}; run `dvc repro verify@{teacher}`"
                    )
                perplexity = _first(scored.of(response.id)) if scored else None
                found = Attempt(query, response, verdict, perplexity)
                held.setdefault(response.query_id, []).append(found)
        own = held.pop(query.id, [])
        own = [attempt._replace(query=query) for attempt in own]
        yield query, sorted(own, key=lambda attempt: attempt.response.attempt)
    _refuse_held(held, folder)
    for rows in (responses, judged, scored):
        if rows is not None:
            rows.finish()


def _first(rows: list[RowT]) -> RowT | None:
    return rows[0] if rows else None


def _refuse_held(held: dict[str, list[Attempt]], folder: Path) -> None:
    for query, attempts in held.items():
        raise AttemptsError(
            f"{folder}: row {attempts[0].response.id} answers the query {query}, which is not in "
            f"{layout.CURATED_QUERIES}; the tables come from different runs: run `dvc repro`"
        )
