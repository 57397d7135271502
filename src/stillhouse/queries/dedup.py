"""Of queries that say the same, keep the best one.

Exact duplicates have the same conversation but for case and space. Near duplicates have word shingles whose Jaccard
index reaches the threshold; all such pairs are found (`near`). Words are compared without LaTeX's notation (`text`).
Numbers are part of the shingles, and two queries whose numbers (or the arithmetic signs beside them) differ are never
duplicates, however much text they share: mathematics differs in little else.

Best is: with a reference before without, then the fewest restrictions of the licence, then the order of the sources,
then the smallest id. So the order of the input has no influence. Two near duplicates with different references are both
kept, as one text may ask for another thing than the other; they are reported as a conflict.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from stillhouse.params.queries import Dedup
from stillhouse.queries.near import BLOCK_ROWS, SetJoin
from stillhouse.queries.text import conversation_text, folded, words, words_and_quantities
from stillhouse.records import Query, Rejected

_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no bit of an earlier word is lost


class Conflict(msgspec.Struct, frozen=True, kw_only=True):
    """Two queries that say the same but have different references, the better one first.

    `similarity` is the Jaccard index. `kept`: both are among the queries; an exact duplicate is dropped all the same.
    """

    query_id: str
    source: str
    reference: str
    other_id: str
    other_source: str
    other_reference: str
    similarity: float
    kept: bool


class Deduplicated(NamedTuple):
    """Every query once, kept or rejected, in the order of their ids; and the pairs with different references."""

    rows: list[Query | Rejected]
    conflicts: list[Conflict]


def deduplicate(
    queries: Iterable[Query],
    rules: Dedup,
    sources: Sequence[str] = (),
    restrictions: Callable[[str], int] = lambda license_name: 0,
) -> Deduplicated:
    """Decide on every query.

    Reasons of rejection: `exact_duplicate`, and `near_duplicate` with the Jaccard index as evidence. `duplicate_of` is
    the id of the query kept.

    Args:
        queries: in any order.
        rules: the threshold and the length of a shingle.
        sources: ids of the sources, the preferred first.
        restrictions: how much a licence, given by name, restricts its users; the fewest are preferred.
    """
    position = {source: i for i, source in enumerate(sources)}

    def order(query: Query) -> tuple[bool, int, int, str, str, bytes]:
        place = position.get(query.source, len(position))
        return (not _has_reference(query), restrictions(query.license), place, *_total(query))

    ranked = sorted(queries, key=order)
    conflicts: list[Conflict] = []
    rejected: list[Rejected] = []
    distinct = list(_without_exact(ranked, rejected, conflicts))
    kept = _without_near(distinct, rules, rejected, conflicts)
    survivor = {
        _query_of(row).id: row.duplicate_of for row in rejected if row.reason == "near_duplicate"
    }
    rows: list[Query | Rejected] = [*kept]
    # An exact duplicate of a near duplicate is one of the query kept in its place.
    for row in rejected:
        last = survivor.get(row.duplicate_of or "", row.duplicate_of)
        rows.append(msgspec.structs.replace(row, duplicate_of=last))
    rows.sort(key=lambda row: _total(_query_of(row)))
    return Deduplicated(rows, conflicts)


def _query_of(row: Query | Rejected) -> Query:
    query = row.query if isinstance(row, Rejected) else row
    assert (
        query is not None
    )  # only a row that could not become a query has none, and none comes here
    return query


def _total(query: Query) -> tuple[str, str, bytes]:
    """Return a total order: two sources may hold the same conversation, hence the same id."""
    return query.id, query.source, msgspec.json.encode(query, order="deterministic")


def _without_exact(
    ranked: Iterable[Query], rejected: list[Rejected], conflicts: list[Conflict]
) -> Iterator[Query]:
    first: dict[bytes, Query] = {}
    for query in ranked:
        text = hashlib.sha256(folded(conversation_text(query)).encode()).digest()
        better = first.setdefault(text, query)
        if better is query:
            yield query
            continue
        rejected.append(Rejected(query=query, reason="exact_duplicate", duplicate_of=better.id))
        if _differ(better, query):
            conflicts.append(_conflict(better, query, 1.0, kept=False))


def _without_near(
    distinct: list[Query], rules: Dedup, rejected: list[Rejected], conflicts: list[Conflict]
) -> list[Query]:
    join = SetJoin(rules.threshold)
    for start in range(0, len(distinct), BLOCK_ROWS):
        join.add(*shingles(distinct[start : start + BLOCK_ROWS], rules.shingle_words))
    better: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for i, j, similarity in join.similar():
        better[j].append((i, similarity))
    dropped: set[int] = set()
    for j in sorted(better):
        for i, similarity in better[j]:
            if i in dropped:
                continue
            if _differ(distinct[i], distinct[j]):
                conflicts.append(_conflict(distinct[i], distinct[j], similarity, kept=True))
                continue
            rejected.append(
                Rejected(
                    query=distinct[j],
                    reason="near_duplicate",
                    evidence=f"Jaccard index {similarity:.3f}",
                    duplicate_of=distinct[i].id,
                )
            )
            dropped.add(j)
            break
    return [query for i, query in enumerate(distinct) if i not in dropped]


def shingles(queries: Sequence[Query], size: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the hashes of the runs of `size` words of all queries one after the other, and how many each has.

    A query of fewer words is one run. Each run is marked with the quantities of the whole conversation. The marks keep
    queries with other quantities apart in the index already: a template with a thousand different numbers would
    otherwise be a thousand candidates for each other.
    """
    hashes: dict[str, int] = {}
    flat: list[int] = []
    lengths, marks = [], []
    for query in queries:
        own, same = words_and_quantities(conversation_text(query))
        marks.append(_hash("\0".join(same)))
        lengths.append(len(own))
        flat.extend([hashes.get(word) or hashes.setdefault(word, _hash(word)) for word in own])
    of_words = np.array(flat, dtype=np.uint64)
    count = np.array(lengths, dtype=np.int64)
    runs = np.maximum(count - size + 1, np.minimum(count, 1))
    starts = np.repeat(np.cumsum(count) - count, runs) + (
        np.arange(int(runs.sum())) - np.repeat(np.cumsum(runs) - runs, runs)
    )
    ends = np.repeat(np.cumsum(count), runs)
    mixed = np.repeat(np.array(marks, dtype=np.uint64), runs)
    for k in range(size):
        places = starts + k
        word = np.where(places < ends, of_words[np.minimum(places, max(len(flat) - 1, 0))], 0)
        mixed = (mixed ^ word) * _FACTOR
        mixed ^= mixed >> np.uint64(29)
    return mixed, runs


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _has_reference(query: Query) -> bool:
    return bool(query.ground_truth or query.tests or query.constraints)


def _differ(left: Query, right: Query) -> bool:
    """Tell whether two queries have answers that exclude one another; another list of tests does not."""
    if left.ground_truth and right.ground_truth:
        return _plain(left.ground_truth) != _plain(right.ground_truth)
    if left.constraints and right.constraints:
        return left.constraints != right.constraints
    return False


def _plain(reference: str) -> tuple[object, ...]:
    """Return a reference without notation; what has no words, such as a bracket, is compared as it is."""
    found = tuple(word.text for word in words(reference))
    marks = tuple(c for c in reference if c in "()[]|")
    return (found, marks) if found else (folded(reference),)


def _conflict(better: Query, other: Query, similarity: float, kept: bool) -> Conflict:
    return Conflict(
        query_id=better.id,
        source=better.source,
        reference=_shown(better),
        other_id=other.id,
        other_source=other.source,
        other_reference=_shown(other),
        similarity=round(similarity, 4),
        kept=kept,
    )


def _shown(query: Query) -> str:
    if query.ground_truth:
        return query.ground_truth
    return "; ".join(f"{c.id} {c.kwargs}" for c in query.constraints)
