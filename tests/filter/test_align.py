import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillhouse.filter.align import parallel_ids, survivorship
from stillhouse.records import Category, Message, Query, query_id


def query(category: Category, number: int) -> Query:
    messages = [Message(role="user", content=f"{category} {number}")]
    return Query(
        id=query_id(messages),
        category=category,
        source="made_up",
        license="cc0-1.0",
        messages=messages,
    )


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ({}, set()),
        ({"a": ["1", "2"]}, {"1", "2"}),
        ({"a": ["1", "2", "3"], "b": ["3", "2"], "c": ["2", "4"]}, {"2"}),
        ({"a": ["1"], "b": []}, set()),
        ({"a": ["1"], "b": ["2"]}, set()),
    ],
)
def test_the_parallel_set_is_what_every_teacher_answered(accepted: dict, expected: set):
    assert parallel_ids(accepted.values()) == expected


def test_streams_of_ids_are_read_once():
    assert parallel_ids(iter([iter(["1", "2"]), iter(["2"])])) == {"2"}


@given(st.dictionaries(st.text(max_size=3), st.lists(st.integers(0, 9).map(str)), max_size=4))
def test_an_id_is_parallel_exactly_where_it_stands_everywhere(accepted: dict[str, list[str]]):
    everywhere = {
        str(i) for i in range(10) if accepted and all(str(i) in ids for ids in accepted.values())
    }
    assert parallel_ids(accepted.values()) == everywhere


def test_survivorship_counts_by_category():
    math = [query("math", i) for i in range(3)]
    code = [query("code", i) for i in range(2)]
    found = survivorship([*math, *code], {math[0].id, math[2].id, "of another set"})
    assert found == {
        "code": {"queries": 2, "parallel": 0, "share": 0.0},
        "math": {"queries": 3, "parallel": 2, "share": 0.6667},
    }
    assert list(found) == ["code", "math"]


def test_survivorship_of_nothing():
    assert survivorship([], {"x"}) == {}
