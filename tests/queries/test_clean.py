import pytest

from stillhouse.params.queries import Clean
from stillhouse.queries.clean import clean
from stillhouse.records import Query, Rejected
from tests.queries.query_builder import make_query

RULES = Clean(
    min_chars=8,
    max_chars=200,
    max_non_ascii=0.3,
    drop_urls=True,
    drop_tables=True,
    drop_images=True,
)
OFF = RULES.model_copy(update={"drop_urls": False, "drop_tables": False, "drop_images": False})
TABLE = "Sum this:\n| a | b |\n|---|:--:|\n| 1 | 2 |"


def reason(query: Query, rules: Clean = RULES) -> str | None:
    (row,) = clean([query], rules)
    return row.reason if isinstance(row, Rejected) else None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Why?", "too_short"),
        ("word " * 60, "too_long"),
        ("Что такое вода и лёд?", "non_ascii"),
        ("What does the café serve for déjeuner today?", None),
        ("Read https://example.org/a?b=1 and sum it up.", "url"),
        ("Read www.example.org and sum it up.", "url"),
        ("The ratio http: is a word here.", None),
        (TABLE, "table"),
        ("Sum this:\na | b\n--- | ---\n1 | 2", "table"),
        ("Sum <TABLE border=1><tr><td>1</td></tr></TABLE>", "table"),
        ("A line\n---\nand the set {x : |x| < 3 and |y| > 2}.", None),
        ("What is ![a cat](cat.png) doing?", "image"),
        ("How long is the side in the figure below?", "image"),
        ("Look at the following picture and name it.", "image"),
        ("I figure that the picture frame costs 3 dollars. Why?", None),
    ],
)
def test_each_rule_drops_what_it_names_and_nothing_else(text: str, expected: str | None) -> None:
    assert reason(make_query(text)) == expected


@pytest.mark.parametrize("text", [TABLE, "See www.example.org please.", "What is ![x](y.png) ?"])
def test_a_rule_that_is_off_drops_nothing(text: str) -> None:
    assert reason(make_query(text), OFF) is None


def test_earlier_turns_count_too() -> None:
    query = make_query("What does it say?", turns=("Here: https://example.org", "I see."))
    assert reason(query) == "url"


def test_a_rejection_names_its_evidence() -> None:
    (row,) = clean([make_query("Read https://example.org/page now.")], RULES)
    assert isinstance(row, Rejected)
    assert row.evidence == "https://example.org/page"
