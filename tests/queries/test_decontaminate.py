import random

from stillhouse.params.queries import Decontaminate
from stillhouse.queries.decontaminate import Contamination, Reference, decontaminate
from stillhouse.records import Query, Rejected
from tests.queries.query_builder import make_query

RULES = Decontaminate(ngram_words=5, min_overlap=0.5)
TRAIN = Reference(
    "word_problems",
    "item_1",
    "A train leaves the town at noon and drives 60 miles each hour until it stops at night.",
)
SUM = Reference("sums", "item_2", "What is 3 + 4?")
REFERENCES = [TRAIN, SUM]


def found(query: Query) -> Contamination | None:
    (row,) = decontaminate([query], REFERENCES, RULES)
    if isinstance(row, Query):
        return None
    assert row[0].reason == "contaminated"
    return row[1]


def test_a_benchmark_item_among_the_queries_is_found_with_evidence() -> None:
    query = make_query("what is 3 + 4 ?")
    (row,) = decontaminate([query], REFERENCES, RULES)
    assert isinstance(row, tuple)
    rejected, contamination = row
    assert isinstance(rejected, Rejected)
    assert rejected.evidence == "sums/item_2: what is 3 + 4"
    assert contamination.kind == "exact"
    assert contamination.query_id == query.id


def test_other_numbers_or_signs_are_no_contamination() -> None:
    assert found(make_query("What is 3 + 5?")) is None
    assert found(make_query("What is 3 - 4?")) is None


def test_a_text_shorter_than_the_ngram_matches_only_as_a_whole() -> None:
    assert found(make_query("What is 3 +")) is None
    assert found(make_query("What is 3 + 4, and why is it so?")) is not None  # the whole item
    assert found(make_query("What is 3")) is None


def test_a_large_shared_piece_is_found_and_shown_as_it_stands_in_the_query() -> None:
    contamination = found(
        make_query("Once a TRAIN leaves the town at noon and drives 60 miles -- how far is that?")
    )
    assert contamination is not None
    assert contamination.kind == "ngram"
    assert (contamination.task, contamination.item_id) == ("word_problems", "item_1")
    assert contamination.span == "a TRAIN leaves the town at noon and drives 60 miles"
    assert 0.5 <= contamination.overlap < 1


def test_a_small_shared_piece_is_kept() -> None:
    text = "A train leaves the town early. My two sisters want to know whether it has a dining car for them."
    assert found(make_query(text)) is None


def test_an_item_hidden_in_a_long_query_is_found() -> None:
    text = f"{'Here comes some other text. ' * 20}{TRAIN.text}{' And some more of it.' * 20}"
    contamination = found(make_query(text))
    assert contamination is not None
    assert contamination.kind == "item_inside"
    assert contamination.span == contamination.item_span == TRAIN.text.rstrip(".")


def test_every_user_turn_is_compared() -> None:
    assert (
        found(make_query("Are you sure of it?", turns=(TRAIN.text, "It drives far."))) is not None
    )


def test_the_order_of_items_and_queries_has_no_influence() -> None:
    twin = Reference("a_task", "item_0", TRAIN.text)
    queries = [make_query(TRAIN.text), make_query("What is 3 + 4?"), make_query("Name a fruit.")]
    outcomes = []
    for seed in range(4):
        shuffled_items, shuffled_queries = [*REFERENCES, twin], list(queries)
        random.Random(seed).shuffle(shuffled_items)
        random.Random(seed + 9).shuffle(shuffled_queries)
        rows = list(decontaminate(shuffled_queries, shuffled_items, RULES))
        outcomes.append(sorted((r[1] for r in rows if isinstance(r, tuple)), key=repr))
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert {c.task for c in outcomes[0]} == {"a_task", "sums"}


def test_without_items_nothing_is_dropped() -> None:
    query = make_query("What is 3 + 4?")
    assert list(decontaminate([query], [], RULES)) == [query]
