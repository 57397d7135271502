import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.queries import near
from stillhouse.queries.near import SetJoin

SETS = st.lists(st.frozensets(st.integers(0, 12), max_size=10), max_size=14)


def brute_force(sets: list[frozenset[int]], threshold: float) -> list[tuple[int, int, float]]:
    return [
        (i, j, len(a & b) / len(a | b))
        for i, a in enumerate(sets)
        for j, b in enumerate(sets[i + 1 :], start=i + 1)
        if a | b and len(a & b) / len(a | b) >= threshold
    ]


def joined(blocks: list[list[frozenset[int]]], threshold: float) -> list[tuple[int, int, float]]:
    join = SetJoin(threshold)
    for sets in blocks:
        elements = [element for one in sets for element in one]
        lengths = np.array([len(one) for one in sets], dtype=np.int64)
        join.add(np.array(elements, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15), lengths)
    return join.similar()


@settings(deadline=None)
@given(SETS, SETS, st.sampled_from([0.3, 0.5, 0.75, 0.85, 0.9, 1.0]))
def test_all_pairs_and_no_others_are_found(
    first: list[frozenset[int]], second: list[frozenset[int]], threshold: float
) -> None:
    found = joined([first, second], threshold)
    expected = brute_force([*first, *second], threshold)
    assert [pair[:2] for pair in found] == [pair[:2] for pair in expected]
    assert [pair[2] for pair in found] == pytest.approx([pair[2] for pair in expected])


def test_many_pairs_come_in_several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near, "BLOCK_PAIRS", 4)
    rng = np.random.default_rng(1)
    sets = [frozenset(rng.integers(0, 9, 6).tolist()) for _ in range(120)]
    assert [pair[:2] for pair in joined([sets], 0.6)] == [p[:2] for p in brute_force(sets, 0.6)]


def test_an_element_that_repeats_counts_once() -> None:
    join = SetJoin(0.9)
    join.add(np.array([1, 1, 2, 1, 2, 2], dtype=np.uint64), np.array([3, 3], dtype=np.int64))
    assert join.similar() == [(0, 1, 1.0)]


def test_nothing_gives_nothing() -> None:
    assert SetJoin(0.9).similar() == []
    assert joined([[]], 0.9) == []
