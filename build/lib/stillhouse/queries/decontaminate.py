"""Drop every query that overlaps a benchmark of this run, and keep the evidence.

A user turn is contaminated by an item if both have the same words, if the share `min_overlap` of the turn's distinct
word n-grams stands in that one item, or if the whole item (of at least n words) stands in the turn. A turn with fewer
than n words can only match exactly. Words are compared without case and punctuation, but with numbers and signs.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from stillhouse.params.queries import Decontaminate
from stillhouse.queries.text import Word, words
from stillhouse.records import Message, Query, Rejected

SPAN_CHARS = 500


class Reference(NamedTuple):
    """The text of one benchmark item that no query may overlap."""

    task: str
    item_id: str
    text: str


class Contamination(msgspec.Struct, frozen=True, kw_only=True):
    """One overlap of a query with a benchmark item.

    `overlap` is the share of the user turn's n-grams found in the item; `span` the longest matching piece of the turn.
    """

    query_id: str
    source: str
    task: str
    item_id: str
    kind: Literal["exact", "item_inside", "ngram"]
    overlap: float
    span: str


def decontaminate(
    queries: Iterable[Query], references: Iterable[Reference], rules: Decontaminate
) -> Iterator[Query | tuple[Rejected, Contamination]]:
    """Yield every query, or its rejection (reason `contaminated`) with the strongest overlap as evidence."""
    index = BenchmarkIndex(references, rules)
    for query in queries:
        found = index.strongest(query)
        if found is None:
            yield query
        else:
            evidence = f"{found.task}/{found.item_id}: {found.span}"
            yield Rejected(query=query, reason="contaminated", evidence=evidence), found


class BenchmarkIndex:
    """All benchmark items, by their whole text and by their n-grams."""

    def __init__(self, references: Iterable[Reference], rules: Decontaminate) -> None:
        self._n = rules.ngram_words
        self._min_overlap = rules.min_overlap
        self._whole: dict[tuple[str, ...], Reference] = {}
        self._by_ngram: dict[tuple[str, ...], list[Reference]] = defaultdict(list)
        self._ngram_count: dict[Reference, int] = {}
        for reference in sorted(set(references)):
            found = words(reference.text)
            self._whole.setdefault(_texts(found), reference)
            ngrams = set(self._ngrams(found))
            self._ngram_count[reference] = len(ngrams)
            for ngram in ngrams:
                self._by_ngram[ngram].append(reference)

    def strongest(self, query: Query) -> Contamination | None:
        """Return the largest overlap of any user turn; equal ones by task and item id."""
        found = [
            contamination
            for message in query.messages
            if message.role == "user"
            for contamination in self._of_turn(query, message.content)
        ]
        return min(found, key=lambda c: (-c.overlap, c.task, c.item_id), default=None)

    def _of_turn(self, query: Query, text: str) -> Iterator[Contamination]:
        turn = words(text)
        same = self._whole.get(_texts(turn))
        if same is not None and turn:
            yield _contamination(query, same, "exact", 1.0, text)
            return
        ngrams = list(self._ngrams(turn))
        shared: dict[Reference, set[tuple[str, ...]]] = defaultdict(set)
        for ngram in ngrams:
            for reference in self._by_ngram.get(ngram, ()):
                shared[reference].add(ngram)
        for reference, common in shared.items():
            overlap = len(common) / len(set(ngrams))
            inside = len(common) == self._ngram_count[reference]
            if inside or overlap >= self._min_overlap:
                span = _longest_span(text, turn, [ngram in common for ngram in ngrams], self._n)
                kind: Literal["item_inside", "ngram"] = "item_inside" if inside else "ngram"
                yield _contamination(query, reference, kind, overlap, span)

    def overlap_of_chat(self, chat: Sequence[Mapping[str, str]]) -> str | None:
        """Return task and item, as `task/id`, that a chat (turns of role and content) overlaps most; null: none."""
        messages = [Message(role="user", content=t["content"]) for t in chat if t["role"] == "user"]
        query = Query(id="", category="other", source="", license="", messages=messages)
        found = self.strongest(query)
        return None if found is None else f"{found.task}/{found.item_id}"

    def _ngrams(self, found: list[Word]) -> Iterator[tuple[str, ...]]:
        texts = _texts(found)
        return (texts[i : i + self._n] for i in range(len(texts) - self._n + 1))


def _texts(found: list[Word]) -> tuple[str, ...]:
    return tuple(word.text for word in found)


def _longest_span(text: str, turn: list[Word], matches: list[bool], n: int) -> str:
    """Return the longest piece of the turn all of whose n-grams match; the first of equals."""
    best = (0, 0)
    start = None
    for i, match in enumerate([*matches, False]):
        if match and start is None:
            start = i
        elif not match and start is not None:
            best = max(best, (start, i), key=lambda span: span[1] - span[0])
            start = None
    return text[turn[best[0]].start : turn[best[1] + n - 2].end]


def _contamination(
    query: Query,
    reference: Reference,
    kind: Literal["exact", "item_inside", "ngram"],
    overlap: float,
    span: str,
) -> Contamination:
    return Contamination(
        query_id=query.id,
        source=query.source,
        task=reference.task,
        item_id=reference.item_id,
        kind=kind,
        overlap=round(overlap, 4),
        span=span[:SPAN_CHARS],
    )
