"""Drop every query that repeats an item of a benchmark of this run, and keep the evidence.

Each user turn is compared with all items. An index of runs of words, and embeddings where `embedding` names a model,
propose items; the rules of `overlap` decide. Texts are compared without case, punctuation and LaTeX's notation,
but with numbers and signs (`text`).
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec

from stillhouse.params.queries import Decontaminate
from stillhouse.queries.embed import Embedder, nearest
from stillhouse.queries.overlap import ItemText, Overlap, Rule, content, match, rephrased
from stillhouse.queries.text import Word, words
from stillhouse.records import BenchmarkItem, Message, Query, Rejected
from stillhouse.tables.read import read_table

SPAN_CHARS = 500
BATCH = 2048  # queries whose embeddings are in memory at once
# A run of words that more items have than this proposes none of them: the items of one generator share their sentences.
MAX_ITEMS_PER_KEY = 64
KEYS_PER_ITEM = 4  # an item with fewer keys that are rare gets longer ones
KEY_WORDS = (2, 3, 5, 8)
PROPOSED = (
    0.2  # share of the keys, of the item or of the turn, that are shared by a pair worth a look
)


class Reference(NamedTuple):
    """The text of one benchmark item that no query may overlap."""

    task: str
    item_id: str
    text: str


def benchmark_references(table: Path) -> list[Reference]:
    """Return the items of the table that the stage `benchmark_items` writes."""
    return [
        Reference(item.task, item.item_id, item.prompt) for item in read_table(table, BenchmarkItem)
    ]


class Contamination(msgspec.Struct, frozen=True, kw_only=True):
    """One overlap of a query with a benchmark item.

    `kind` is the rule that found it and `overlap` its score, both as in `overlap.match`. `span` and `item_span` are the
    matching pieces of the user turn and of the item as they are written.
    """

    query_id: str
    source: str
    task: str
    item_id: str
    kind: Rule
    overlap: float
    span: str
    item_span: str


def decontaminate(
    queries: Iterable[Query], references: Iterable[Reference], rules: Decontaminate
) -> Iterator[Query | tuple[Rejected, Contamination]]:
    """Yield every query, or its rejection (reason `contaminated`) with the strongest overlap as evidence."""
    index = BenchmarkIndex(references, rules)
    embedder = Embedder(rules.embedding) if rules.embedding is not None and index.texts else None
    items = embedder.vectors(index.texts) if embedder else None
    for batch in _batched(queries):
        turns = [_user_turns(query) for query in batch]
        proposed: list[list[int]] = [[] for of_query in turns for _ in of_query]
        if embedder is not None and items is not None and rules.embedding is not None:
            vectors = embedder.vectors([turn for of_query in turns for turn in of_query])
            proposed = list(nearest(vectors, items, rules.embedding.min_cosine))
        of_turn = iter(proposed)
        for query, texts in zip(batch, turns, strict=True):
            found = index.strongest(query, [next(of_turn) for _ in texts])
            if found is None:
                yield query
            else:
                evidence = f"{found.task}/{found.item_id}: {found.span}"
                yield Rejected(query=query, reason="contaminated", evidence=evidence), found


class BenchmarkIndex:
    """All benchmark items, by their whole text and by runs of content words."""

    def __init__(self, references: Iterable[Reference], rules: Decontaminate) -> None:
        self._rules = rules
        self._references = sorted(set(references))
        found = [words(reference.text) for reference in self._references]
        self._words = found
        self._whole: dict[tuple[str, ...], int] = {}
        texts = [_texts(item) for item in found]
        in_items = Counter(text for item in texts for text in set(item))
        self._items = [
            ItemText(item, [math.log1p(len(texts) / in_items[text]) for text in item])
            for item in texts
        ]
        for i, item in enumerate(texts):
            self._whole.setdefault(item, i)
        self._by_key: dict[tuple[str, ...], list[int]] = defaultdict(list)
        self._key_count = [0] * len(texts)
        self._sizes: list[int] = []
        self._add_keys()

    def _add_keys(self) -> None:
        """Give each item keys: its runs of content words, of the smallest length at which enough of them are rare."""
        waiting = list(range(len(self._items)))
        for n in KEY_WORDS:
            keys = {i: set(_keys(self._items[i].texts, n)) for i in waiting}
            common = Counter(key for of_item in keys.values() for key in of_item)
            waiting_next = []
            for i, of_item in keys.items():
                rare = [key for key in of_item if common[key] <= MAX_ITEMS_PER_KEY]
                for key in rare:
                    self._by_key[key].append(i)
                self._key_count[i] += len(rare)
                if self._key_count[i] < min(KEYS_PER_ITEM, len(of_item)):
                    waiting_next.append(i)
            if keys:
                self._sizes.append(n)
            waiting = waiting_next

    @property
    def texts(self) -> list[str]:
        """The texts of the items, in the order in which they are numbered."""
        return [reference.text for reference in self._references]

    def strongest(
        self, query: Query, proposed: Sequence[Sequence[int]] | None = None
    ) -> Contamination | None:
        """Return the largest overlap of any user turn; equal ones by task and item id.

        `proposed` has, for each user turn, the numbers of the items that it may rephrase; null: none.
        """
        turns = _user_turns(query)
        found = [
            contamination
            for text, numbers in zip(turns, proposed or [()] * len(turns), strict=True)
            for contamination in self._of_turn(query, text, numbers)
        ]
        return min(found, key=lambda c: (-c.overlap, c.task, c.item_id), default=None)

    def _of_turn(
        self, query: Query, text: str, rephrases: Sequence[int]
    ) -> Iterator[Contamination]:
        turn = words(text)
        texts = _texts(turn)
        for i in self._proposed(texts):
            overlap = match(texts, self._items[i], self._rules)
            if overlap is not None:
                yield self._contamination(query, i, overlap, text, turn)
        for i in rephrases:
            overlap = rephrased(texts, self._items[i])
            if overlap is not None:
                yield self._contamination(query, i, overlap, text, turn)

    def _proposed(self, texts: tuple[str, ...]) -> Iterator[int]:
        """Yield the items worth a look, in their order."""
        if not texts:
            return
        shared: Counter[int] = Counter()
        keys = 0
        for n in self._sizes:
            of_turn = set(_keys(texts, n))
            keys = keys or len(of_turn)
            for key in of_turn:
                shared.update(self._by_key.get(key, ()))
        same = self._whole.get(texts)
        if same is not None:
            shared[same] = max(shared[same], self._key_count[same], 1)
        for i, count in sorted(shared.items()):
            if count >= PROPOSED * min(self._key_count[i], keys):
                yield i

    def overlap_of_chat(self, chat: Sequence[Mapping[str, str]]) -> str | None:
        """Return task and item, as `task/id`, that a chat (turns of role and content) overlaps most; null: none."""
        messages = [Message(role="user", content=t["content"]) for t in chat if t["role"] == "user"]
        query = Query(id="", category="other", source="", license="", messages=messages)
        found = self.strongest(query)
        return None if found is None else f"{found.task}/{found.item_id}"

    def _contamination(
        self, query: Query, i: int, overlap: Overlap, text: str, turn: list[Word]
    ) -> Contamination:
        reference = self._references[i]
        return Contamination(
            query_id=query.id,
            source=query.source,
            task=reference.task,
            item_id=reference.item_id,
            kind=overlap.rule,
            overlap=round(overlap.score, 4),
            span=_piece(text, turn, overlap.turn),
            item_span=_piece(reference.text, self._words[i], overlap.item),
        )


def _batched(queries: Iterable[Query]) -> Iterator[list[Query]]:
    rest = iter(queries)
    while batch := list(islice(rest, BATCH)):
        yield batch


def _user_turns(query: Query) -> list[str]:
    return [message.content for message in query.messages if message.role == "user"]


def _texts(found: list[Word]) -> tuple[str, ...]:
    return tuple(word.text for word in found)


def _keys(texts: Sequence[str], n: int) -> Iterator[tuple[str, ...]]:
    """Yield the runs of n content words; a text of fewer is one run."""
    of_content = [texts[i] for i in content(texts)]
    for i in range(max(1, len(of_content) - n + 1)):
        yield tuple(of_content[i : i + n])


def _piece(text: str, found: list[Word], places: tuple[int, int]) -> str:
    """Return a range of words as it is written, at most `SPAN_CHARS` characters."""
    return text[found[places[0]].start : found[places[1] - 1].end][:SPAN_CHARS]
