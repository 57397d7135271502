import numpy as np
import pytest

from stillhouse.analysis.mixture import mixture_rows


def columns(categories, tokens):
    return {
        "category": np.array(categories, dtype=object),
        "completion_tokens": np.array(tokens, dtype=np.int64),
    }


def test_shares_of_rows_and_tokens_add_up_and_follow_the_order_of_categories():
    rows = mixture_rows({"t": columns(["if", "math", "math", "code"], [10, 30, 20, 40])})
    assert [row["category"] for row in rows] == ["math", "code", "if"]
    assert [row["row_share"] for row in rows] == [0.5, 0.25, 0.25]
    assert [row["token_share"] for row in rows] == [0.5, 0.4, 0.1]
    assert sum(row["token_share"] for row in rows) == pytest.approx(1)


def test_no_rows_and_no_tokens_do_not_divide_by_zero():
    assert mixture_rows({"t": columns([], [])}) == []
    assert mixture_rows({"t": columns(["math"], [0])})[0]["token_share"] is None
