"""Finds all pairs of sets whose Jaccard index reaches a threshold: an exact set-similarity join, in numpy.

The elements of all sets get one order, rare ones first. Two sets with an index of t or more then share an element among
the first |A| - ceil(t |A|) + 1 of each (prefix filter: Chaudhuri, Ganti and Kaushik 2006; Bayardo, Ma and Srikant
2007). Pairs that share one, and whose sizes fit, are candidates; the index of each candidate is computed. Unlike bands
of MinHash, this misses no pair, and it needs one sort instead of many hashes per element.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

HASH_BITS = 48  # of an element; the other 16 bits of a word number the rows of a block, so that one sort orders both
BLOCK_ROWS = 1 << (64 - HASH_BITS)
BUCKETS = (
    1 << 22
)  # counters of how often an element occurs, 4 bytes each; a wrong count costs time, never a pair
BLOCK_PAIRS = 1 << 15
_HASH = np.uint64((1 << HASH_BITS) - 1)
_LOW = np.uint64(0xFFFFFFFF)

Words = NDArray[np.uint64]
Rows = NDArray[np.int64]


class SetJoin:
    """Sets of hashed elements, and the pairs of them that are similar.

    Args:
        threshold: the least Jaccard index, above 0.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._blocks: list[Words] = []  # per block: row << 48 | element, sorted, without repeats
        self._lengths: list[Rows] = []
        self._counts = np.zeros(BUCKETS, dtype=np.uint32)

    def add(self, elements: Words, lengths: Rows) -> None:
        """Add sets, numbered on from those added before.

        Args:
            elements: of all sets one after the other, as hashes of which the low 48 bits count; may repeat.
            lengths: how many of them each set has, at most `BLOCK_ROWS` sets.
        """
        rows = np.repeat(np.arange(len(lengths), dtype=np.uint64), lengths)
        keys = (rows << np.uint64(HASH_BITS)) | (elements & _HASH)
        keys.sort()
        if len(keys):
            keys = keys[np.concatenate(([True], keys[1:] != keys[:-1]))]
        self._counts += np.bincount(
            (keys & np.uint64(BUCKETS - 1)).astype(np.intp), minlength=BUCKETS
        ).astype(np.uint32)
        self._blocks.append(keys)
        self._lengths.append(
            np.bincount((keys >> np.uint64(HASH_BITS)).astype(np.intp), minlength=len(lengths))
        )

    def candidates(self) -> Iterator[tuple[Rows, Rows]]:
        """Yield the pairs that may be similar, as two arrays of row numbers, each pair once in a block of pairs.

        A pair may be in several blocks. The first row of a pair has the smaller number.
        """
        if not self._blocks:
            return
        lengths = np.concatenate(self._lengths)
        rank = np.argsort(
            lengths, kind="stable"
        )  # in a group of sets with one element, the sizes ascend
        place = np.empty(len(rank), dtype=np.uint64)
        place[rank] = np.arange(len(rank), dtype=np.uint64)
        entries = np.concatenate(list(self._prefixes(place)))
        entries.sort()
        groups, rows = entries >> np.uint64(32), rank[(entries & _LOW).astype(np.intp)]
        sizes = lengths[rows]
        first = np.arange(len(entries) - 1)
        found: list[Words] = []
        waiting = 0
        step = 1
        while len(first):
            # Where a set is too large for the first of a pair, so are all that follow in its group.
            second = first + step
            fits = (groups[first] == groups[second]) & (
                sizes[first] >= self._threshold * sizes[second] - 1e-9
            )
            first, second = first[fits], second[fits]
            a, b = rows[first], rows[second]
            low, high = np.minimum(a, b).astype(np.uint64), np.maximum(a, b).astype(np.uint64)
            found.append((low << np.uint64(32)) | high)
            waiting += len(first)
            step += 1
            first = first[first + step < len(entries)]
            if waiting > 64 * BLOCK_PAIRS or not len(first):
                pairs = np.unique(np.concatenate(found))
                for start in range(0, len(pairs), BLOCK_PAIRS):
                    block = pairs[start : start + BLOCK_PAIRS]
                    yield (block >> np.uint64(32)).astype(np.int64), (block & _LOW).astype(np.int64)
                found, waiting = [], 0

    def _prefixes(self, place: Words) -> Iterator[Words]:
        """Yield the elements of each set's prefix, as element << 32 | place of the set."""
        start = 0
        for keys, lengths in zip(self._blocks, self._lengths, strict=True):
            rows = keys >> np.uint64(HASH_BITS)
            count = self._counts[(keys & np.uint64(BUCKETS - 1)).astype(np.intp)]
            rarity = np.minimum(count, 0xFFFF).astype(np.uint64)
            ordered = (rows << np.uint64(48)) | (rarity << np.uint64(32)) | (keys & _LOW)
            ordered.sort()
            offsets = np.concatenate(([0], np.cumsum(lengths)[:-1]))
            least = np.ceil(self._threshold * lengths - 1e-9).astype(np.int64)
            prefix = np.where(lengths > 0, lengths - least + 1, 0)
            row = np.repeat(np.arange(len(lengths)), lengths)
            chosen = np.arange(len(keys)) - offsets[row] < prefix[row]
            yield ((ordered[chosen] & _LOW) << np.uint64(32)) | place[start + row[chosen]]
            start += len(lengths)

    def similar(self) -> list[tuple[int, int, float]]:
        """Return the pairs with their Jaccard index, where it reaches the threshold, in order."""
        found: dict[tuple[int, int], float] = {}
        for left, right in self.candidates():
            index = self._jaccard(left, right)
            for i in np.flatnonzero(index >= self._threshold):
                found[int(left[i]), int(right[i])] = float(index[i])
        return [(*pair, index) for pair, index in sorted(found.items())]

    def _jaccard(self, left: Rows, right: Rows) -> NDArray[np.float64]:
        """Return the Jaccard index of each pair."""
        numbers = np.arange(len(left), dtype=np.uint64) << np.uint64(HASH_BITS)
        parts = []
        sizes = np.zeros(len(left), dtype=np.int64)
        for rows in (left, right):
            elements, lengths = self._elements(rows)
            parts.append(np.repeat(numbers, lengths) | elements)
            sizes += lengths
        keys = np.concatenate(parts)
        keys.sort()
        same = keys[1:][keys[1:] == keys[:-1]] >> np.uint64(HASH_BITS)
        common = np.bincount(same.astype(np.intp), minlength=len(left))
        index: NDArray[np.float64] = common / np.maximum(sizes - common, 1)
        return index

    def _elements(self, rows: Rows) -> tuple[Words, Rows]:
        """Return the elements of some sets one after the other, and how many each has."""
        starts = np.cumsum([0, *(len(lengths) for lengths in self._lengths)])
        block = np.searchsorted(starts, rows, side="right") - 1
        sizes = np.concatenate(self._lengths)[rows]
        elements = np.empty(int(sizes.sum()), dtype=np.uint64)
        ends = np.cumsum(sizes)
        for b in np.unique(block):
            mine = np.flatnonzero(block == b)
            offsets = np.concatenate(([0], np.cumsum(self._lengths[b])))
            origin = offsets[rows[mine] - starts[b]]
            count = sizes[mine]
            within = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
            target = np.repeat(ends[mine] - count, count) + within
            elements[target] = self._blocks[b][np.repeat(origin, count) + within] & _HASH
        return elements, sizes
