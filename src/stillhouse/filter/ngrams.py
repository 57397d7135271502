"""Template-like repetition: word n-grams that too many of one teacher's texts share, or that one text repeats.

The paper removes 20-token n-grams that occur more than 20 times (section 2.3). The count here is exact, in memory that
does not grow with the texts:

1. Each text's n-grams are hashed. A key has 36 bits of the hash (a cell) and the number of the text. The keys of a text
   are sorted in memory, which shows what it repeats; distinct keys go to a `Spill`, in memory or on disk.
2. The keys are sorted part by part. A cell with more texts than the limit may hold a frequent n-gram.
3. The texts in these cells are read again and their n-grams counted by their words, so that a collision of hashes never
   decides. In texts order, a text is kept if no text kept before it shares a frequent n-gram with it.

Beside the parameter's memory it needs seven bytes for each text, two for each frequent n-gram, and the longest text.
"""

import os
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from stillhouse.errors import StillhouseError
from stillhouse.filter.spill import KEY_BYTES, Spill
from stillhouse.filter.tokens import Keys, ngram_hashes, tokens
from stillhouse.params.filter import NGRAM_MEMORY_MB, NgramFilter

TEXT_BITS = 28  # of a key: 268 million texts; the other 36 bits are the cell
MAX_THREADS = 4  # one thread reads the texts, and gives no more than this enough to do
_CHUNK_CHARACTERS = 1 << 18  # hashed in one go: much longer arrays leave the processor's caches
_CHARACTER_BYTES = 64  # that hashing needs for each character, at most
_NGRAM_BYTES = 512  # of an n-gram's text, its number and its count, about
_TEXT = np.uint64((1 << TEXT_BITS) - 1)
_CELL_SHIFT = np.uint64(TEXT_BITS)
_ID_SHIFT = np.uint64(64 - TEXT_BITS)
_ID = np.uint64((1 << (64 - TEXT_BITS)) - 1)
_Flags = npt.NDArray[np.bool_]
_Numbers = npt.NDArray[np.uint32]
Texts = Callable[[], Iterable[tuple[str, str]]]
_ItemT = TypeVar("_ItemT")
_ResultT = TypeVar("_ResultT")


class NgramError(StillhouseError):
    """The texts cannot be compared; the message says why."""


class Repetition(NamedTuple):
    """Which texts to drop, by number in the order of the texts.

    `limit` is the number of texts that may share an n-gram. `looping` is true for a text that repeats an n-gram too
    often, `copies` for one that shares a frequent n-gram with a text kept before it. A text is in neither if an earlier
    text of its query is kept.
    """

    limit: int
    looping: _Flags
    copies: _Flags


class _Chunk(NamedTuple):
    numbers: list[int]
    texts: list[str]


def repeated(
    texts: Texts,
    params: NgramFilter,
    folder: Path,
    threads: int | None = None,
    memory_mb: int = NGRAM_MEMORY_MB,
) -> Repetition:
    """Find the texts that loop and those that are copies of a template.

    Args:
        texts: gives (query id, text) anew on each call, in the same order and query by query; called once, and again if
            n-grams are frequent. One text of each query is kept, so later ones do not count as copies of it.
        params: length and limits.
        folder: where a temporary file is made if the n-grams need more memory.
        threads: how many hash and sort; null: one for each processor of this process, at most `MAX_THREADS`.
        memory_mb: megabytes of memory.

    Raises:
        SpillError: the temporary file cannot be made, written or read.
        NgramError: there are too many texts.
    """
    threads = threads or min(MAX_THREADS, len(os.sched_getaffinity(0)))
    memory = memory_mb * 1_000_000
    with (
        Spill(folder, memory // 4, 64 - 12) as keys,
        ThreadPoolExecutor(threads, thread_name_prefix="ngrams") as pool,
    ):
        work = _Work(pool, threads, memory, params)
        looping, firsts = work.hash_all(texts(), keys)
        # As a fraction: 0.29 of 100 texts are 29, and 28.99... in floating point.
        share = int(Fraction(str(params.max_rate or 0)) * len(looping))
        limit = max(params.max_count, share)
        copies = np.zeros(len(looping), np.bool_)
        # The first 12 bits of a text's number are its bucket.
        shift = 64 - TEXT_BITS + max(0, len(looping).bit_length() - 12)
        with Spill(folder, memory // 8, shift) as pairs:
            confirmed = work.confirm_all(texts, keys, pairs, limit, len(looping))
            if pairs.keys:
                parts = pairs.sorted_parts(memory // 8)
                _mark_copies(parts, confirmed, looping, copies, firsts)
    return Repetition(limit, looping, copies)


class _Work:
    """The steps that use the threads."""

    def __init__(
        self, pool: ThreadPoolExecutor, threads: int, memory: int, params: NgramFilter
    ) -> None:
        self._pool, self._threads, self._memory = pool, threads, memory
        self._n, self._max_count = params.n, params.max_count
        self._run_keys = max(1, memory // 8 // KEY_BYTES)
        self._chunk = min(_CHUNK_CHARACTERS, memory // 8 // threads // _CHARACTER_BYTES)

    def hash_all(self, texts: Iterable[tuple[str, str]], spill: Spill) -> tuple[_Flags, _Numbers]:
        """Put the keys of all texts into `spill`.

        Returns:
            For each text whether it loops, and the number of the first text of its query.
        """
        firsts, found = array("I"), []
        held: list[Keys] = []
        writing: Future[None] | None = None

        def counted() -> Iterator[tuple[int, str]]:
            last, first = None, 0
            for number, (query, text) in enumerate(texts):
                if query != last:
                    last, first = query, number
                firsts.append(first)
                yield number, text

        def write(runs: list[Keys]) -> None:
            keys = np.concatenate(runs)
            runs.clear()
            keys.sort()
            spill.add(keys)

        for keys, looping in self._each(self._hash, self._chunks(counted())):
            found += looping
            held.append(keys)
            if sum(map(len, held)) >= self._run_keys:
                if writing:
                    writing.result()
                writing, held = self._pool.submit(write, held), []
        if writing:
            writing.result()
        if held:
            write(held)
        count = len(firsts)
        if count > int(_TEXT):
            raise NgramError(
                f"filter.ngram compares at most {int(_TEXT):,} responses of a teacher, and there are {count:,}"
            )
        loops = np.zeros(count, np.bool_)
        loops[found] = True
        return loops, np.array(firsts, np.uint32)

    def confirm_all(
        self, texts: Texts, keys: Spill, pairs: Spill, limit: int, count: int
    ) -> _Flags:
        """Put (text, number of an n-gram) into `pairs` for the n-grams in crowded cells.

        Returns:
            For each number whether more than `limit` texts hold its n-gram.
        """
        confirmed = [np.zeros(0, np.bool_)]
        cells: list[Keys] = []
        flagged = np.zeros(count, np.bool_)
        room = max(1, self._memory // 4 // _NGRAM_BYTES)

        def confirm() -> None:
            if cells:
                base = sum(map(len, confirmed))
                chosen = ((i, text) for i, (_, text) in enumerate(texts()) if flagged[i])
                counts = self._count_by_text(chosen, np.concatenate(cells), pairs, base)
                confirmed.append(counts > limit)
                cells.clear()
                flagged[:] = False

        parts = keys.parts(self._memory // 6 // self._threads)
        for found, owners in self._each(lambda part: _crowded(keys.read(part), limit), parts):
            if len(found):
                cells.append(found)
                flagged[owners] = True
            if sum(map(len, cells)) > room:
                confirm()
        confirm()
        return np.concatenate(confirmed)

    def _hash(self, chunk: _Chunk) -> tuple[Keys, list[int]]:
        """Return the distinct keys of some texts, sorted, and the numbers of those that loop."""
        found = ngram_hashes(chunk.texts, self._n)
        numbers = np.array(chunk.numbers, np.uint64)
        keys = (found.hash & ~_TEXT) | numbers[found.owner]
        keys.sort()
        often = keys[self._max_count :]
        often = np.unique(often[often == keys[: len(often)]] & _TEXT)
        looping = [
            number
            for number in often.tolist()
            if self._loops(chunk.texts[number - chunk.numbers[0]])
        ]
        distinct = np.ones(len(keys), np.bool_)
        np.not_equal(keys[1:], keys[:-1], out=distinct[1:])
        return keys[distinct], looping

    def _loops(self, text: str) -> bool:
        words = tokens(text)
        counts = Counter(zip(*(words[i:] for i in range(self._n)), strict=False))
        return max(counts.values()) > self._max_count

    def _count_by_text(
        self, texts: Iterable[tuple[int, str]], cells: Keys, pairs: Spill, base: int
    ) -> _Numbers:
        """Count the texts of each n-gram in `cells`, and number the n-grams from `base` on."""
        numbers: dict[str, int] = {}
        counts, held = array("I"), array("Q")
        for found in self._each(lambda chunk: self._in_cells(chunk, cells), self._chunks(texts)):
            for owner, ngrams in found:
                for ngram in ngrams:
                    number = numbers.setdefault(ngram, len(counts))
                    if number == len(counts):
                        counts.append(0)
                    counts[number] += 1
                    held.append(owner << int(_ID_SHIFT) | base + number)
            if len(held) >= self._run_keys:
                pairs.add(np.sort(np.array(held, np.uint64)))
                held = array("Q")
        pairs.add(np.sort(np.array(held, np.uint64)))
        return np.array(counts, np.uint32)

    def _in_cells(self, chunk: _Chunk, cells: Keys) -> list[tuple[int, set[str]]]:
        """Return for each text the words of its n-grams whose hashes are in `cells`."""
        owner, hashes = ngram_hashes(chunk.texts, self._n)
        own = hashes >> _CELL_SHIFT
        hits = np.flatnonzero(cells[np.searchsorted(cells[:-1], own)] == own)
        firsts = np.searchsorted(owner, np.arange(len(chunk.texts) + 1))
        bounds = np.searchsorted(hits, firsts)
        found = []
        for i, text in enumerate(chunk.texts):
            words = tokens(text)
            places = (hits[bounds[i] : bounds[i + 1]] - firsts[i]).tolist()
            found.append((chunk.numbers[i], {" ".join(words[p : p + self._n]) for p in places}))
        return found

    def _chunks(self, texts: Iterable[tuple[int, str]]) -> Iterator[_Chunk]:
        chunk, size = _Chunk([], []), 0
        for number, text in texts:
            if chunk.texts and size + len(text) > self._chunk:
                yield chunk
                chunk, size = _Chunk([], []), 0
            chunk.numbers.append(number)
            chunk.texts.append(text)
            size += len(text)
        if chunk.texts:
            yield chunk

    def _each(
        self, function: Callable[[_ItemT], _ResultT], items: Iterable[_ItemT]
    ) -> Iterator[_ResultT]:
        """Yield the function of each item in order; threads work on no more items than there are of them, twice."""
        waiting: deque[Future[_ResultT]] = deque()
        for item in items:
            waiting.append(self._pool.submit(function, item))
            if len(waiting) > 2 * self._threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _crowded(keys: Keys, limit: int) -> tuple[Keys, npt.NDArray[np.uint64]]:
    """Return the cells with more than `limit` texts, sorted, and the numbers of these texts."""
    cells = keys >> _CELL_SHIFT
    over = cells[limit:]
    crowded = np.unique(over[over == cells[: len(over)]])
    inside = np.zeros(len(keys) + 1, np.int8)
    inside[np.searchsorted(cells, crowded)] += 1
    inside[np.searchsorted(cells, crowded, side="right")] -= 1
    held = np.cumsum(inside[:-1], dtype=np.int8).astype(np.bool_)
    return crowded, np.unique(keys[held] & _TEXT)


def _mark_copies(
    parts: Iterable[Keys], confirmed: _Flags, looping: _Flags, copies: _Flags, firsts: _Numbers
) -> None:
    """Mark each text that shares a confirmed n-gram with a text before it which is kept.

    Args:
        parts: (text, number of an n-gram), in order.
        confirmed: whether the n-gram of each number is frequent.
        looping: the texts that are dropped anyway.
        copies: the marks.
        firsts: for each text the first of its query; once one is kept, the others of the query are not.
    """
    taken = np.zeros(len(confirmed), np.bool_)
    for keys in parts:
        keys = keys[confirmed[keys & _ID]]
        owners = keys >> _ID_SHIFT
        starts = np.flatnonzero(np.diff(owners, prepend=owners[:1] + np.uint64(1)))
        for owner, mine in zip(
            owners[starts].tolist(), np.split(keys & _ID, starts[1:]), strict=False
        ):
            earlier = slice(firsts[owner], owner)
            if looping[owner] or not (looping[earlier] | copies[earlier]).all():
                continue
            if taken[mine].any():
                copies[owner] = True
            else:
                taken[mine] = True
