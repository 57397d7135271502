from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.filter import ngrams
from stillhouse.filter.ngrams import repeated, tokens

TEXTS = st.lists(
    st.lists(st.sampled_from(["the", "answer", "is", "4", ".", "so", "été"]), max_size=12).map(
        " ".join
    ),
    max_size=8,
)


def naive(texts: list[tuple[str, str]], n: int, max_count: int) -> list[tuple[str, str]]:
    """Count every n-gram exactly, as tuples of words."""
    windows = {
        name: [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        for name, words in ((name, tokens(text)) for name, text in texts)
    }
    counts = Counter(window for found in windows.values() for window in found)
    return [
        (name, " ".join(next(w for w in found if counts[w] > max_count)))
        for name, found in windows.items()
        if any(counts[w] > max_count for w in found)
    ]


@settings(deadline=None, max_examples=60)
@given(TEXTS, st.integers(1, 4), st.integers(1, 4))
def test_it_finds_what_an_exact_count_finds(texts: list[str], n: int, max_count: int):
    named = [(f"text {i}", text) for i, text in enumerate(texts)]
    assert list(repeated(lambda: named, n=n, max_count=max_count)) == naive(named, n, max_count)


@pytest.mark.parametrize("column", [0, 1])
def test_a_sketch_full_of_collisions_changes_nothing(monkeypatch: pytest.MonkeyPatch, column: int):
    def crowded(hashes: np.ndarray) -> np.ndarray:
        """Put every n-gram in one of two columns: the sketch then counts far too much."""
        return np.tile((hashes & np.uint64(column)).astype(np.int64), (ngrams.SKETCH_ROWS, 1))

    monkeypatch.setattr(ngrams, "_columns", crowded)
    texts = [(str(i), f"only here {i} and the answer is {i % 3}") for i in range(12)]
    assert list(repeated(lambda: texts, n=4, max_count=3)) == naive(texts, 4, 3)
    assert len(naive(texts, 4, 3)) == 12


def test_the_limit_itself_is_allowed():
    texts = [(str(i), "one two three") for i in range(20)]
    assert list(repeated(lambda: texts, n=3, max_count=20)) == []
    texts.append(("last", "zero one two three"))
    found = list(repeated(lambda: texts, n=3, max_count=20))
    assert found == [(name, "one two three") for name, _ in texts]


def test_repetition_inside_one_text_counts():
    looping = "and one again " * 30
    texts = [("looping", looping), ("fine", "one and one is two")]
    assert [name for name, _ in repeated(lambda: texts, n=20, max_count=20)] == ["looping"]


def test_order_of_the_words_matters():
    texts = [("a", "one two three"), ("b", "three two one"), ("c", "two one three")]
    assert list(repeated(lambda: texts, n=3, max_count=1)) == []


def test_short_and_empty_texts_are_never_repeated():
    texts = [(str(i), text) for i, text in enumerate(["", "one", "one two"] * 10)]
    assert list(repeated(lambda: texts, n=3, max_count=1)) == []
    assert list(repeated(list, n=3, max_count=1)) == []


def test_tokens_are_words_and_single_marks():
    assert tokens("It's 4.5,\nnaïve  (x_1)!") == [
        *("It", "'", "s", "4", ".", "5", ",", "naïve", "(", "x_1", ")", "!")
    ]
