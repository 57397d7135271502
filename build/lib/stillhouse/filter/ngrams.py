"""Template-like repetition: word n-grams that occur very often over one teacher's whole set.

The paper removes 20-token n-grams that occur more than 20 times (section 2.3). An exact count over millions of long
traces does not fit in memory, so it is done in two passes: a count-min sketch of fixed size, which never counts too
little, finds the candidates, and only those are counted exactly.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt

SKETCH_ROWS = 4
SKETCH_COLUMNS = 1 << 22  # 4 x 4 M counters of 4 bytes: 64 MB, whatever the size of the set
_TOKEN = re.compile(r"\w+|[^\w\s]")
_Hashes = npt.NDArray[np.uint64]
# Odd multipliers from splitmix64; any odd 64-bit numbers with mixed bits serve.
_ROW_MULTIPLIERS = np.array(
    [0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93],
    dtype=np.uint64,
)
_ROLL = np.uint64(0x100000001B3)


def repeated(
    texts: Callable[[], Iterable[tuple[str, str]]], *, n: int, max_count: int
) -> Iterator[tuple[str, str]]:
    """Yield (name, n-gram) for each text that holds an n-gram occurring more than `max_count` times in all texts.

    `texts` gives the (name, text) pairs anew on each call; it is called three times.
    """
    sketch = np.zeros((SKETCH_ROWS, SKETCH_COLUMNS), dtype=np.uint32)
    for _, text in texts():
        hashes = _ngram_hashes(tokens(text), n)
        for row, columns in enumerate(_columns(hashes)):
            np.add.at(sketch[row], columns, 1)
    exact: Counter[int] = Counter()
    for _, text in texts():
        hashes = _ngram_hashes(tokens(text), n)
        estimate = np.min([sketch[r][c] for r, c in enumerate(_columns(hashes))], axis=0)
        exact.update(hashes[estimate > max_count].tolist())
    frequent = {value for value, count in exact.items() if count > max_count}
    if not frequent:
        return
    for name, text in texts():
        words = tokens(text)
        for position, value in enumerate(_ngram_hashes(words, n).tolist()):
            if value in frequent:
                yield name, " ".join(words[position : position + n])
                break


def tokens(text: str) -> list[str]:
    """Return words and single punctuation marks: independent of any model's tokenizer."""
    return _TOKEN.findall(text)


def _ngram_hashes(words: list[str], n: int) -> _Hashes:
    """Return the 64-bit hash of each n-gram, in order; empty where the text is shorter than n."""
    if len(words) < n:
        return np.empty(0, dtype=np.uint64)
    single = np.array(
        [int.from_bytes(hashlib.blake2b(w.encode(), digest_size=8).digest(), "big") for w in words],
        dtype=np.uint64,
    )
    windows = np.lib.stride_tricks.sliding_window_view(single, n)
    total = np.zeros(len(windows), dtype=np.uint64)
    for column in range(n):  # a polynomial over the words, modulo 2^64
        total = total * _ROLL + windows[:, column]
    return total


def _columns(hashes: _Hashes) -> npt.NDArray[np.int64]:
    mixed = hashes[None, :] * _ROW_MULTIPLIERS[:, None]
    return (mixed >> np.uint64(64 - 22)).astype(np.int64)
