import itertools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.package.licenses import restrictions
from stillhouse.params.queries import Dedup
from stillhouse.queries.dedup import deduplicate
from stillhouse.queries.text import quantities
from stillhouse.records import Query, Rejected
from tests.queries.query_builder import make_query

RULES = Dedup(threshold=0.7, shingle_words=2)
LONG = (
    "A farmer has {} hens and buys {} more at the market on a sunny morning in the north of the "
    "country, where prices are low. How many hens does the {} farmer have now in all?"
)


def run(queries: list[Query]) -> tuple[set[str], dict[str, Rejected]]:
    rows = deduplicate(queries, RULES).rows
    kept = [row.id for row in rows if isinstance(row, Query)]
    assert len(set(kept)) == len(kept)
    return set(kept), {r.query.id + r.query.source: r for r in rows if isinstance(r, Rejected)}


def test_case_and_space_make_no_difference() -> None:
    queries = [make_query("Name a  fruit."), make_query("name a FRUIT.")]
    kept, rejected = run(queries)
    (row,) = rejected.values()
    assert kept == {min(q.id for q in queries)}
    assert (row.reason, row.duplicate_of) == ("exact_duplicate", min(q.id for q in queries))


def test_the_same_query_of_two_sources_is_kept_once() -> None:
    kept, rejected = run([make_query("Name a fruit.", "b"), make_query("Name a fruit.", "a")])
    (row,) = rejected.values()
    assert row.query.source == "b"
    assert kept == {row.duplicate_of}


def test_nearly_the_same_text_is_kept_once_with_the_smaller_id() -> None:
    queries = [make_query(LONG.format(7, 5, "old")), make_query(LONG.format(7, 5, "young"))]
    kept, rejected = run(queries)
    (row,) = rejected.values()
    assert kept == {min(q.id for q in queries)}
    assert row.reason == "near_duplicate"
    assert row.evidence is not None
    assert float(row.evidence.split()[-1]) > 0.7


@pytest.mark.parametrize("other", [LONG.format(7, 6, "old"), LONG.format(5, 7, "old")])
def test_other_numbers_are_another_problem(other: str) -> None:
    kept, rejected = run([make_query(LONG.format(7, 5, "old")), make_query(other)])
    assert len(kept) == 2
    assert rejected == {}


def test_another_sign_is_another_problem() -> None:
    text = "Start with the number that was said before, and then work out this short sum: 9 {} 4 ="
    kept, _ = run([make_query(text.format("+")), make_query(text.format("-"))])
    assert len(kept) == 2


def test_the_earlier_turns_are_part_of_the_query() -> None:
    kept, _ = run(
        [
            make_query("And why?", turns=("Is ice cold?", "Yes.")),
            make_query("And why?", turns=("Is fire hot?", "Yes.")),
            make_query("And why?"),
        ]
    )
    assert len(kept) == 3


VARIANTS = st.builds(
    lambda a, adjective, spaces, source: make_query(
        LONG.format(a, 5, adjective).replace(" more ", " more" + " " * spaces), source
    ),
    st.integers(1, 3),
    st.sampled_from(["old", "young", "kind", "Old"]),
    st.integers(1, 2),
    st.sampled_from(["a", "b"]),
)


@settings(deadline=None, max_examples=25)
@given(st.lists(VARIANTS, max_size=8).flatmap(lambda q: st.tuples(st.just(q), st.permutations(q))))
def test_the_order_of_the_input_has_no_influence(pair: tuple[list[Query], list[Query]]) -> None:
    first, second = pair
    assert run(first) == run(second)
    rows = deduplicate(first, RULES).rows
    assert len(rows) == len(first)
    kept = {row.id: row for row in rows if isinstance(row, Query)}
    for row in rows:
        if isinstance(row, Rejected):
            assert row.duplicate_of is not None
            assert row.duplicate_of <= row.query.id
            assert quantities(kept[row.duplicate_of].prompt) == quantities(row.query.prompt)


def answered(text: str, answer: str | None, source: str = "made", license: str = "mit") -> Query:
    return msgspec.structs.replace(
        make_query(text, source), ground_truth=answer, license=license, category="math"
    )


FRACTION = "A farmer plants $\\frac{3}{4}$ of $1,200$ trees on a sunny day. How many trees has the farmer planted?"


@pytest.mark.parametrize(
    "other",
    [
        FRACTION.replace("\\frac", "\\dfrac").replace("1,200", "1{,}200"),
        FRACTION.replace("\\frac{3}{4}", "3/4").replace("$", "").replace("1,200", "1200"),
        FRACTION.replace("$\\frac{3}{4}$", "\\(\\frac34\\)").replace("trees has", "trees then has"),
    ],
)
def test_notation_makes_no_other_problem(other: str) -> None:
    kept, rejected = run([make_query(FRACTION), make_query(other)])
    assert len(kept) == 1
    assert [row.reason for row in rejected.values()] == ["near_duplicate"]


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("2 * (3 + 4)", "(2 * 3) + 4"),
        ("x + y", "x - y"),
        ("x^{2+y}", "x^2+y"),
        ("three", "five"),
        ("1,200", "1.200"),
    ],
)
def test_other_brackets_signs_and_number_words_are_another_problem(one: str, two: str) -> None:
    text = "Here is a task for a long and quiet evening at home with nothing else to do at all: work out {} by hand."
    kept, _ = run([make_query(text.format(one)), make_query(text.format(two))])
    assert len(kept) == 2


def test_near_duplicates_with_different_references_are_both_kept_and_reported() -> None:
    one, two = LONG.format(7, 5, "old"), LONG.format(7, 5, "young")
    found = deduplicate([answered(one, "12"), answered(two, "13")], RULES)
    assert all(isinstance(row, Query) for row in found.rows)
    (conflict,) = found.conflicts
    assert conflict.kept
    assert {conflict.reference, conflict.other_reference} == {"12", "13"}
    assert conflict.similarity >= 0.7
    same = deduplicate([answered(one, "1,200"), answered(two, "$1200$")], RULES)
    assert (len([r for r in same.rows if isinstance(r, Query)]), same.conflicts) == (1, [])


def test_exact_duplicates_with_different_references_are_reported() -> None:
    found = deduplicate(
        [answered("Add 7 to 5.", "12", "a"), answered("Add 7 to 5.", "13", "b")], RULES
    )
    (conflict,) = found.conflicts
    assert not conflict.kept
    assert len([row for row in found.rows if isinstance(row, Query)]) == 1


def test_of_duplicates_the_one_with_a_reference_and_the_freer_licence_is_kept() -> None:
    texts = [LONG.format(7, 5, word) for word in ("old", "young", "kind")]

    def winner(*queries: Query) -> str:
        rows = deduplicate(queries, RULES, ["first", "second"], restrictions).rows
        (kept,) = (row for row in rows if isinstance(row, Query))
        return kept.prompt

    for one, two in itertools.permutations(texts, 2):
        closed = "cc-by-nc-4.0"
        assert winner(answered(one, None), answered(two, "12", license=closed)) == two
        assert winner(answered(one, "12", license=closed), answered(two, "12")) == two
        assert (
            winner(answered(one, "12", license="unheard-of"), answered(two, "12", license=closed))
            == two
        )
        assert winner(answered(one, "12", "second"), answered(two, "12", "first")) == two


def test_an_exact_duplicate_of_a_near_duplicate_names_the_query_that_was_kept() -> None:
    one, two = LONG.format(7, 5, "old"), LONG.format(7, 5, "young")
    rows = deduplicate([make_query(one), make_query(two), make_query(two.upper())], RULES).rows
    (kept,) = (row for row in rows if isinstance(row, Query))
    rejected = [row for row in rows if isinstance(row, Rejected)]
    assert {row.duplicate_of for row in rejected} == {kept.id}
    assert len(rejected) == 2
