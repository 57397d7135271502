"""The rules that decide whether a text repeats a benchmark item, given both as words.

`match` takes one pair. `decontaminate` proposes the pairs; a proposal decides nothing.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from stillhouse.params.queries import Decontaminate
from stillhouse.queries.text import is_number

Rule = Literal["exact", "item_inside", "ngram", "changed", "rephrased"]
# Words that say little about which problem it is. Synonyms of theirs are the cheapest change of a text.
_FUNCTION_WORDS = """
a an the this that these those of for to in on at by from with as and or if then so such is are was were be been being
it its he she they them his her their we you your i my me our there here which what who whom whose when where how why do
does did has have had can could will would shall should may might must not no than all any each every some into over
under about also given let suppose find determine compute calculate number count value result answer please
"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())
MIN_INSIDE = 4  # words of the shortest item that is found inside other text
MIN_PART = 8  # words of the shortest text that is found as a part of an item
MIN_CHANGED = 6  # content words that a changed copy shares with the item
SYMBOLS = 4  # words of a run that counts though all of them are single letters, digits and signs
REPHRASED = 0.5  # weighted share of an item's content words that a text in other words has too
REPHRASED_NUMBERS = 2  # different numbers of an item that can be found in other words
NUMBERS_IN_PLACE = 0.75  # share of the numbers that are next to the same words in both
WINDOW = 1.5  # a changed copy inside a longer text is at most so many times as long as the item
_CONTINUES = frozenset(["+", "-", "*", "/", "^", "=", "<", ">", "<=", ">=", "!=", "%"])


class Overlap(NamedTuple):
    """What two texts share: the rule, its score between 0 and 1, and the words of both, as half-open ranges."""

    rule: Rule
    score: float
    turn: tuple[int, int]
    item: tuple[int, int]


class ItemText:
    """One item as words, with what the rules need of it.

    Args:
        texts: the words of the item.
        weights: of each word: how much it says about which item it is.
    """

    def __init__(self, texts: Sequence[str], weights: Sequence[float]) -> None:
        self.texts = tuple(texts)
        self.content = content(self.texts)
        self.weights = weights
        self.runs = frozenset(run for run, _ in runs([self.texts[i] for i in self.content]))


def content(texts: Sequence[str]) -> list[int]:
    """Return the places of the words that are no function words; of all words where fewer than two are left."""
    found = [i for i, text in enumerate(texts) if text not in FUNCTION_WORDS]
    return found if len(found) > 1 else list(range(len(texts)))


def runs(texts: Sequence[str]) -> Iterator[tuple[tuple[str, ...], int]]:
    """Yield the runs of content words that identify a text, each with the place where it begins.

    These are all pairs with a word of two letters or a number of two digits. Formulas share pairs of symbols with most
    other formulas, so only runs of `SYMBOLS` of them count.
    """
    for i, pair in enumerate(pairwise(texts)):
        if len(pair[0]) > 1 or len(pair[1]) > 1:
            yield pair, i
    for i in range(len(texts) - SYMBOLS + 1):
        yield tuple(texts[i : i + SYMBOLS]), i


def match(turn: Sequence[str], item: ItemText, rules: Decontaminate) -> Overlap | None:
    """Return the overlap of a turn with an item by the first rule that holds, null: none does.

    exact: the same words. item_inside: all words of the item, in one run, which no sign or number continues. ngram: the
    share `min_overlap` of the turn's distinct n-grams is in the item; n is `ngram_words`, or the words of the shorter
    text where that has fewer, and at least 8. changed: see `_changed`.
    """
    texts = tuple(turn)
    if texts == item.texts:
        return Overlap("exact", 1.0, (0, len(texts)), (0, len(texts)))
    start = _find(item.texts, texts) if len(item.texts) >= MIN_INSIDE else None
    if start is not None and not _continued(texts, start, start + len(item.texts)):
        end = start + len(item.texts)
        return Overlap("item_inside", 1.0, (start, end), (0, len(item.texts)))
    return _ngram(texts, item, rules) or _changed(texts, item, rules)


def rephrased(turn: Sequence[str], item: ItemText) -> Overlap | None:
    """Return the overlap of a turn that says an item in other words; ask only about items that a model proposes.

    Both texts have the same numbers equally often, at least `REPHRASED_NUMBERS` different ones. At least one run of
    content words and the weighted share `REPHRASED` of the item's content words are in the turn. The share is the
    score.
    """
    numbers = Counter(text for text in item.texts if is_number(text))
    if len(numbers) < REPHRASED_NUMBERS or numbers != Counter(filter(is_number, turn)):
        return None
    places = content(turn)
    if not any(_shared([turn[i] for i in places], item.runs)):
        return None
    have, wanted = frozenset(turn), frozenset(item.texts)
    theirs = [i for i in item.content if item.texts[i] in have]
    score = sum(item.weights[i] for i in theirs) / sum(item.weights[i] for i in item.content)
    if score < REPHRASED:
        return None
    own = [i for i in places if turn[i] in wanted]
    return Overlap("rephrased", score, (own[0], own[-1] + 1), (theirs[0], theirs[-1] + 1))


def _find(needle: tuple[str, ...], texts: tuple[str, ...]) -> int | None:
    """Return where a run of words begins in a text."""
    n = len(needle)
    start = -1
    while True:
        try:
            start = texts.index(needle[0], start + 1, max(start + 1, len(texts) - n + 1))
        except ValueError:
            return None
        if texts[start : start + n] == needle:
            return start


def _continued(texts: tuple[str, ...], start: int, end: int) -> bool:
    """Tell whether a formula goes on before or after a run, so that the run is another formula."""
    before = texts[start - 1] if start else ""
    after = texts[end] if end < len(texts) else ""
    return before in _CONTINUES or after in _CONTINUES


def _ngram(texts: tuple[str, ...], item: ItemText, rules: Decontaminate) -> Overlap | None:
    shorter = min(len(texts), len(item.texts))
    n = min(rules.ngram_words, shorter)
    if n < min(MIN_PART, rules.ngram_words):
        return None
    of_item = {item.texts[i : i + n] for i in range(len(item.texts) - n + 1)}
    grams = [texts[i : i + n] for i in range(len(texts) - n + 1)]
    common = of_item.intersection(grams)
    share = len(common) / len(set(grams))
    if share < rules.min_overlap:
        return None
    begin, end = _longest_run([gram in common for gram in grams])
    where = _find(texts[begin : begin + n], item.texts) or 0
    return Overlap("ngram", share, (begin, end + n - 1), (where, where + end - begin + n - 1))


def _longest_run(found: list[bool]) -> tuple[int, int]:
    """Return the first of the longest runs of true values."""
    best = (0, 0)
    start = None
    for i, value in enumerate([*found, False]):
        if value and start is None:
            start = i
        elif not value and start is not None:
            best = max(best, (start, i), key=lambda run: run[1] - run[0])
            start = None
    return best


def _changed(texts: tuple[str, ...], item: ItemText, rules: Decontaminate) -> Overlap | None:
    """Return the overlap of a changed copy: other words here and there, or sentences in another order.

    The turn's densest window of the item's length is compared. A content word of the item is shared if it is in
    a run of `runs` that the window has too. The score is the weighted share of the item's content words that are
    shared; it must reach `min_containment`. The numbers must be the same: the window has all of the item's, and
    `NUMBERS_IN_PLACE` of them are shared.
    """
    places = content(texts)
    shared = _shared([texts[i] for i in places], item.runs)
    if sum(shared) < MIN_CHANGED:
        return None
    begin, end = _window(places, shared, round(WINDOW * len(item.texts)) + 8)
    places, shared = places[begin:end], shared[begin:end]
    window = [texts[i] for i in places]
    found = _shared(
        [item.texts[i] for i in item.content], frozenset(run for run, _ in runs(window))
    )
    score = _score(item, found, frozenset(window))
    if score < rules.min_containment or sum(found) < MIN_CHANGED:
        return None
    own = [place for place, is_shared in zip(places, shared, strict=True) if is_shared]
    theirs = [place for place, is_shared in zip(item.content, found, strict=True) if is_shared]
    return Overlap("changed", score, (own[0], own[-1] + 1), (theirs[0], theirs[-1] + 1))


def _shared(texts: Sequence[str], known: frozenset[tuple[str, ...]]) -> list[bool]:
    """Return for each content word whether it is in a known run."""
    shared = [False] * len(texts)
    for run, i in runs(texts):
        if run in known:
            shared[i : i + len(run)] = [True] * len(run)
    return shared


def _window(places: Sequence[int], shared: Sequence[bool], length: int) -> tuple[int, int]:
    """Return the range of content words with the most shared ones, at most `length` words of text long."""
    if not places or places[-1] - places[0] < length:
        return 0, len(places)
    best, where, end, inside = -1, (0, 0), 0, 0
    for begin in range(len(places)):
        while end < len(places) and places[end] - places[begin] < length:
            inside += shared[end]
            end += 1
        if inside > best:
            best, where = inside, (begin, end)
        inside -= shared[begin]
    return where


def _score(item: ItemText, shared: Sequence[bool], window: frozenset[str]) -> float:
    """Return the weighted share of the item's content words that are shared; 0 if a number of the item is missing."""
    numbers = [
        (item.texts[i], is_shared)
        for i, is_shared in zip(item.content, shared, strict=True)
        if is_number(item.texts[i])
    ]
    if any(number not in window for number, _ in numbers):
        return 0.0
    if sum(is_shared for _, is_shared in numbers) < NUMBERS_IN_PLACE * len(numbers):
        return 0.0
    whole = sum(item.weights[i] for i in item.content)
    return (
        sum(item.weights[i] for i, is_shared in zip(item.content, shared, strict=True) if is_shared)
        / whole
    )
