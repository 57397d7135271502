import string
import unicodedata

import msgspec
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stillhouse.hashing import ID_HEX_DIGITS, content_hash
from stillhouse.records import (
    CATEGORIES,
    Constraint,
    Message,
    Query,
    assistant_text,
    example_id,
    from_dict,
    query_id,
    response_id,
    to_dict,
)
from stillhouse.schemas import arrow_schema

texts = st.text(max_size=40)


@given(st.lists(texts, max_size=4))
def test_an_id_is_hex_of_fixed_length_and_repeats(parts: list[str]) -> None:
    found = content_hash(*parts)
    assert len(found) == ID_HEX_DIGITS
    assert set(found) <= set(string.hexdigits.lower())
    assert found == content_hash(*parts)


@given(st.lists(texts, max_size=4), st.lists(texts, max_size=4))
def test_ids_of_different_content_differ_however_it_is_cut(a: list[str], b: list[str]) -> None:
    def normal(parts: list[str]) -> list[str]:
        return [unicodedata.normalize("NFC", part) for part in parts]

    assume(normal(a) != normal(b))
    assert content_hash(*a) != content_hash(*b)


def test_the_cut_between_parts_counts() -> None:
    assert content_hash("ab", "c") != content_hash("a", "bc")
    assert content_hash("a", "") != content_hash("a")


def test_composed_and_decomposed_text_have_one_id() -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    assert composed != decomposed
    assert content_hash(composed) == content_hash(decomposed)


def test_a_lone_surrogate_has_an_id() -> None:
    assert content_hash("\ud800") != content_hash("\ud801")


# Pinned: a change of the hash would orphan every released id.
def test_ids_are_what_they_were_in_the_first_release() -> None:
    assert query_id([Message(role="user", content="1 + 1?")]) == content_hash(
        "query", "user", "1 + 1?"
    )
    assert content_hash("query", "user", "1 + 1?") == "6cca242d28dd279882d56f089b5a6708"
    assert response_id("q" * 16 + "z", "t", 0, "2") == "q" * 16 + "8a65c920748833a2"
    assert example_id("q" * 16 + "z", "r") == "q" * 16 + "2a6257f5b70aacdd"


@given(st.lists(st.text(max_size=4), min_size=2, max_size=9, unique=True), st.integers(0, 9))
def test_rows_of_queries_sort_as_the_queries_do(texts: list[str], attempt: int) -> None:
    queries = sorted(query_id([Message(role="user", content=text)]) for text in texts)
    responses = [response_id(query, "t", attempt, "answer") for query in queries]
    assert responses == sorted(responses)
    assert all(len(found) == len(query) for found, query in zip(responses, queries, strict=True))
    released = [example_id(q, r) for q, r in zip(queries, responses, strict=True)]
    assert released == sorted(released)


def test_the_query_id_depends_on_roles_and_turns() -> None:
    user = Message(role="user", content="a")
    system = Message(role="system", content="a")
    assert query_id([user]) != query_id([system])
    assert query_id([user]) != query_id([user, user])


def test_a_row_comes_back_from_arrow_without_the_nulls_of_other_constraints() -> None:
    row = Query(
        id="0" * ID_HEX_DIGITS,
        category="if",
        source="s",
        license="mit",
        messages=[Message(role="user", content="Write 3 words.")],
        constraints=[
            Constraint(id="length_constraints:number_words", kwargs={"num_words": 3}),
            Constraint(id="keywords:existence", kwargs={"keywords": ["a", "b"]}),
        ],
    )
    table = pa.Table.from_pylist([to_dict(row)], schema=arrow_schema(Query))
    assert from_dict(Query, table.to_pylist()[0]) == row
    assert from_dict(Query, table.to_pylist()[0]).constraints[0].kwargs == {"num_words": 3}


def test_an_unknown_category_is_refused_with_its_path() -> None:
    plain = to_dict(Query(id="x", category="math", source="s", license="mit", messages=[])) | {
        "category": "cooking"
    }
    with pytest.raises(msgspec.ValidationError, match=r"\$\.category"):
        from_dict(Query, plain)


def test_rows_cannot_be_changed() -> None:
    message = Message(role="user", content="a")
    with pytest.raises(AttributeError):
        message.content = "b"  # type: ignore[misc]


def test_the_assistant_turn_has_think_tags_only_where_there_was_reasoning() -> None:
    assert assistant_text("", "4") == "4"
    assert assistant_text("2 + 2", "4") == "<think>\n2 + 2\n</think>\n\n4"
    tagged = assistant_text("2 + 2", "4", "answer_tags")
    assert tagged == "<think>2 + 2</think><answer>4</answer>"
    assert assistant_text("", "4", "answer_tags") == "<answer>4</answer>"


def test_the_categories_are_those_of_the_released_files_of_the_paper() -> None:
    assert set(CATEGORIES) == {"math", "code", "science", "if", "multiturn", "other"}
