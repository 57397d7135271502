"""Of queries that say the same, keep the one with the smallest id.

Exact duplicates have the same conversation but for case and space. Near duplicates share word shingles; MinHash finds
the candidates, the exact Jaccard index decides. Numbers are part of the shingles, and two queries whose numbers (or the
arithmetic signs beside them) differ are never duplicates, however much text they share: mathematics differs in little
else. Queries are taken in the order of their ids, so that the order of the input has no influence.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import msgspec

from stillhouse.params.queries import Dedup
from stillhouse.queries.text import conversation_text, folded, quantities, words
from stillhouse.records import Query, Rejected

if TYPE_CHECKING:
    from datasketch import MinHash


def deduplicate(queries: Iterable[Query], rules: Dedup) -> Iterator[Query | Rejected]:
    """Yield every query once, kept or rejected, in the order of their ids.

    Reasons: `exact_duplicate`, and `near_duplicate` with the Jaccard index as evidence.
    `duplicate_of` is the id of the query kept.
    """
    from datasketch import MinHash, MinHashLSH

    kept: dict[str, Query] = {}
    id_of_text: dict[bytes, str] = {}
    index = MinHashLSH(threshold=rules.threshold, num_perm=rules.permutations)
    empty = MinHash(num_perm=rules.permutations)
    for query in sorted(queries, key=_order):
        text = hashlib.sha256(folded(conversation_text(query)).encode()).digest()
        if text in id_of_text:
            yield Rejected(query=query, reason="exact_duplicate", duplicate_of=id_of_text[text])
            continue
        shingles = _shingles(query, rules.shingle_words)
        sketch = _sketch(shingles, empty)
        candidates = sorted(index.query(sketch)) if shingles else []
        near = next(
            (
                (candidate, similarity)
                for candidate in candidates
                if (
                    similarity := _jaccard(
                        shingles, _shingles(kept[candidate], rules.shingle_words)
                    )
                )
                >= rules.threshold
            ),
            None,
        )
        if near is not None:
            id_of_text[text] = near[0]
            yield Rejected(
                query=query,
                reason="near_duplicate",
                evidence=f"Jaccard index {near[1]:.3f}",
                duplicate_of=near[0],
            )
            continue
        id_of_text[text] = query.id
        kept[query.id] = query
        if shingles:
            index.insert(query.id, sketch)
        yield query


def _order(query: Query) -> tuple[str, str, bytes]:
    """Return a total order: two sources may hold the same conversation, hence the same id."""
    return query.id, query.source, msgspec.json.encode(query, order="deterministic")


def _shingles(query: Query, size: int) -> frozenset[str]:
    """Return the runs of `size` words, each marked with the quantities of the whole conversation.

    The marks keep queries with other quantities apart in the index already: a template with a thousand different
    numbers would otherwise be a thousand candidates for each other. A conversation of fewer words has no shingles, and
    so no near duplicates.
    """
    text = conversation_text(query)
    mark = hashlib.sha256(" ".join(quantities(text)).encode()).hexdigest()[:16]
    texts = [word.text for word in words(text)]
    return frozenset(" ".join([mark, *texts[i : i + size]]) for i in range(len(texts) - size + 1))


def _sketch(shingles: frozenset[str], empty: "MinHash") -> "MinHash":
    """Return the sketch of the shingles; `empty` holds the permutations, which cost more than all the rest."""
    sketch = empty.copy()
    sketch.update_batch([shingle.encode() for shingle in shingles])
    return sketch


def _jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    return len(left & right) / len(left | right)
