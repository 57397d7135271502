"""No row of whatever content ends in a traceback or in a query that no table can hold."""

import datetime
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.known_layouts import query_columns
from stillhouse.queries.origins import Origin
from stillhouse.queries.rows import COLUMNS, query_of_row
from stillhouse.records import CATEGORIES, Category, Query, Rejected
from stillhouse.tables.read import read_table
from stillhouse.tables.write import write_table

TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            *(
                "assert f(1) == 1",
                "def test_f(x):\n    assert x",
                "assert (",
                "proof",
                "\\boxed{}",
                "A",
            ),
            *(
                "[",
                "{}",
                '["assert f()"]',
                '{"inputs": ["1"], "outputs": []}',
                "\ud800",
                "\x00",
                "python",
            ),
            *(
                '{"any_of":[]}',
                "9" * 5000,
                "[" * 3000,
                '"' * 9,
                "1e999",
                "\u200b",
                "punctuation:no_comma",
            ),
        ]
    ),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**400, -(2**70)]),
    st.builds(lambda: 10**5000),
    st.floats(),
    TEXTS,
    st.binary(max_size=5),
    st.sampled_from([Decimal("1.5"), Decimal("nan"), datetime.date(2020, 1, 1)]),
)
NAMES = st.one_of(
    st.sampled_from(
        [
            *(
                "role",
                "content",
                "from",
                "value",
                "kind",
                "code",
                "input",
                "output",
                "inputs",
                "outputs",
            ),
            *(
                "fn_name",
                "testtype",
                "metadata",
                "id",
                "kwargs",
                "label",
                "text",
                "think",
                "answer",
            ),
            *(
                "test_cases",
                "type",
                "tolerance",
                "num_words",
                "relation",
                "keywords",
                "demand",
                "info",
            ),
        ]
    ),
    st.text(max_size=3),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
ROWS = st.dictionaries(st.sampled_from(sorted(COLUMNS)), VALUES, max_size=len(COLUMNS))
LIKELY = st.fixed_dictionaries(
    {"prompt": st.just("Write f.")}, optional=dict.fromkeys(COLUMNS - {"prompt"}, VALUES)
)


@settings(max_examples=500)
@given(
    row=ROWS | LIKELY, category=st.sampled_from(CATEGORIES), verifier=st.sampled_from([None, "own"])
)
def test_any_row_is_a_query_or_a_rejection(
    row: dict[str, Any], category: Category, verifier: str | None
) -> None:
    origin = Origin("own", category, "mit", verifier)
    found = query_of_row(row, origin, {}, 1)
    assert isinstance(found, Query | Rejected)
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "t"
        write_table(table, type(found), [found])
        assert list(read_table(table, type(found))) == [found]


@pytest.mark.parametrize(
    "turns", [None, [], "x", [None], [{}], [{"info": None}], [{"info": 3}], {"info": {}}]
)
def test_a_row_that_only_looks_like_a_known_set_is_read_as_any_other(turns: Any) -> None:
    assert query_columns({"conversations": turns, "prompt": "Why?"}) is None
