import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillhouse.analysis.lengths import bin_width, histogram_rows, length_rows


def columns(*pairs):
    return {
        "category": np.array([category for category, _ in pairs], dtype=object),
        "completion_tokens": np.array([tokens for _, tokens in pairs], dtype=np.int64),
    }


def test_there_are_rows_for_all_and_for_each_category_with_responses():
    rows = length_rows({"t": columns(("math", 10), ("math", 30), ("if", 5))})
    assert [(r["category"], r["rows"], r["tokens"], r["mean"]) for r in rows] == [
        ("all", 3, 45, 15.0),
        ("math", 2, 40, 20.0),
        ("if", 1, 5, 5.0),
    ]


def test_no_responses_give_a_row_without_figures():
    (row,) = length_rows({"t": columns()})
    assert (row["rows"], row["mean"], row["p50"]) == (0, None, None)


@pytest.mark.parametrize(
    ("longest", "width"), [(1, 1), (10, 1), (11, 2), (256, 32), (10_240, 1024), (90_000, 1024)]
)
def test_bins_are_the_papers_unless_responses_are_short(longest, width):
    assert bin_width(longest) == width


def test_the_papers_bins_end_in_an_open_one():
    rows = histogram_rows({"t": columns(("math", 1024), ("math", 1025), ("math", 10_241))})
    filled = {row["tokens"]: row["rows"] for row in rows if row["rows"]}
    assert filled == {"1-1024": 1, "1025-2048": 1, ">10240": 1}
    assert len(rows) == 11


@given(st.lists(st.integers(1, 40_000), min_size=1, max_size=50))
def test_every_response_falls_into_the_bin_that_names_it(lengths):
    rows = histogram_rows({"t": columns(*(("code", n) for n in lengths))})
    assert sum(row["rows"] for row in rows) == len(lengths)
    for row in rows:
        low, _, high = row["tokens"].removeprefix(">").partition("-")
        inside = (
            [n for n in lengths if int(low) <= n <= int(high)]
            if high
            else [n for n in lengths if n > int(low)]
        )
        assert len(inside) == row["rows"]


def test_teachers_share_bins_and_an_empty_one_has_no_shares():
    rows = histogram_rows({"t": columns(("math", 7)), "none": columns()})
    assert {r["share"] for r in rows if r["teacher"] == "none"} == {None}
    assert [r["tokens"] for r in rows if r["teacher"] == "t"] == [
        r["tokens"] for r in rows if r["teacher"] == "none"
    ]
    assert histogram_rows({"none": columns()}) == []
