"""Words and punctuation marks of texts, and 64-bit hashes of their n-grams by numpy.

The hashes are polynomials modulo 2^64, so that a difference of prefix sums gives the hash of any span: of a word over
its characters, and of an n-gram over the mixed hashes of its words (Karp and Rabin 1987). numpy releases the
interpreter's lock in each step, so threads hash side by side. Two n-grams may share a hash; who needs certainty
compares their texts.
"""

import functools
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]

_TOKEN = re.compile(r"\w+|[^\w\s]")
_WORD, _MARK = 1, 2
# Odd multipliers with mixed bits, from splitmix64.
_CHARACTER_BASE = 0x9E3779B97F4A7C15
_WORD_BASE = 0xD6E8FEB86659FD93
_MIX = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


class NgramHashes(NamedTuple):
    """The n-grams of several texts in order: `owner` is the text's position, `hash` the 64-bit hash, row by row."""

    owner: npt.NDArray[np.int64]
    hash: Keys


def tokens(text: str) -> list[str]:
    """Return words and single punctuation marks: independent of any model's tokenizer."""
    return _TOKEN.findall(text)


def ngram_hashes(texts: Sequence[str], n: int) -> NgramHashes:
    """Return the hashes of the `n`-grams of `tokens(text)` of each text; a text of fewer tokens has none.

    It takes about 50 bytes of memory for each character of the texts.
    """
    joined = "\n".join(texts)  # a line break is no token, so none reaches over the end of a text
    if joined.isascii():
        characters: npt.NDArray[np.uint8 | np.uint32] = np.frombuffer(joined.encode(), np.uint8)
    else:
        characters = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
    starts, words = _token_hashes(characters)
    if len(words) < n:
        return NgramHashes(np.empty(0, np.int64), np.empty(0, np.uint64))
    ends_of_texts = np.cumsum([len(text) + 1 for text in texts])
    owner = np.searchsorted(ends_of_texts, starts, side="right")
    whole = owner[: len(owner) - n + 1] == owner[n - 1 :]
    hashes = _spans(words, _WORD_BASE, np.arange(len(words) - n + 1), n)
    return NgramHashes(owner[: len(hashes)][whole], hashes[whole])


def _token_hashes(
    characters: npt.NDArray[np.uint8 | np.uint32],
) -> tuple[npt.NDArray[np.int64], Keys]:
    """Return where each token starts, and its hash."""
    kind = _kinds()[characters]
    in_word, mark = kind == _WORD, kind == _MARK
    first, last = mark.copy(), mark
    first[:1] |= in_word[:1]
    first[1:] |= in_word[1:] & ~in_word[:-1]
    last[-1:] |= in_word[-1:]
    last[:-1] |= in_word[:-1] & ~in_word[1:]
    starts, lengths = np.flatnonzero(first), np.flatnonzero(last)
    lengths -= starts - 1
    hashes = _spans(characters.astype(np.uint64) + np.uint64(1), _CHARACTER_BASE, starts, lengths)
    for multiplier, shift in zip(_MIX, (30, 27), strict=True):
        hashes ^= hashes >> np.uint64(shift)
        hashes *= np.uint64(multiplier)
    hashes ^= hashes >> np.uint64(31)
    return starts, hashes


def _spans(
    values: Keys, base: int, starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64] | int
) -> Keys:
    """Return the sum of value * base^(place in the span) of each span, modulo 2^64."""
    sums = np.zeros(len(values) + 1, np.uint64)
    np.cumsum(values * _powers(base, len(values)), out=sums[1:])
    # base^place in the span = base^place in `values` * inverse^start; odd numbers have an inverse modulo 2^64.
    inverse = _powers(pow(base, -1, 1 << 64), len(values))
    found: Keys = (sums[starts + lengths] - sums[starts]) * inverse[starts]
    return found


def _powers(base: int, count: int) -> Keys:
    """Return base^0 to base^(count - 1), modulo 2^64. Powers of usual counts are kept."""
    kept = 1 << 18
    return _kept_powers(base, kept)[:count] if count <= kept else _make_powers(base, count)


def _make_powers(base: int, count: int) -> Keys:
    powers = np.full(count, base, np.uint64)
    powers[:1] = 1
    np.multiply.accumulate(powers, out=powers)
    return powers


_kept_powers = functools.cache(_make_powers)


@functools.cache
def _kinds() -> npt.NDArray[np.uint8]:
    """Return for each code point whether it is in a word, a mark by itself, or white space (0), as in `_TOKEN`."""
    everything = "".join(map(chr, range(0x110000)))
    kinds = np.zeros(len(everything), np.uint8)
    for found in re.finditer(r"(\w+)|[^\w\s]+", everything):
        kinds[found.start() : found.end()] = _WORD if found[1] else _MARK
    return kinds
