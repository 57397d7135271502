"""Each rule that finds a benchmark item in a query, and what none of them may find."""

import pytest

from stillhouse.params.queries import Decontaminate
from stillhouse.queries.decontaminate import BenchmarkIndex, Contamination, Reference
from tests.queries.query_builder import make_query

RULES = Decontaminate(ngram_words=13, min_overlap=0.5)
BOXES = (
    "Let $n$ be the number of red boxes in a shop, where $\\dfrac{3}{4}$ of the $1{,}200$ boxes are red and the rest "
    "are blue. The shop sells $45$ red boxes on Monday. How many red boxes are left on Tuesday morning?"
)
ROOT = "Find the least prime above $31$ squared."
SHORT = "What is $3 + 4$?"
INDEX = BenchmarkIndex(
    [Reference("shop", "0", BOXES), Reference("primes", "0", ROOT), Reference("sums", "0", SHORT)],
    RULES,
)


def found(text: str) -> Contamination | None:
    return INDEX.strongest(make_query(text))


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (BOXES, "exact"),
        (BOXES.upper(), "exact"),
        (BOXES.replace("\\dfrac{3}{4}", "(3)/(4)").replace("{,}", ",").replace("$", ""), "exact"),
        (BOXES.replace("$n$", "\\(n\\)").replace("1{,}200", "1200"), "exact"),
        (f"Please solve: {ROOT}", "item_inside"),
        (f"{'Think first. ' * 30}{BOXES}{' Then give the answer.' * 30}", "item_inside"),
        (BOXES[: BOXES.index("blue")], "ngram"),
        (
            "How many red boxes are left on Tuesday morning? The shop sells $45$ red boxes on Monday. "
            + BOXES[:130],
            "changed",
        ),
        (
            BOXES.replace("the", "this")
            .replace("of", "for")
            .replace("shop", "store")
            .replace("rest", "others"),
            "changed",
        ),
    ],
)
def test_a_copy_is_found_by_its_rule(text: str, rule: str) -> None:
    hit = found(text)
    assert hit is not None
    assert hit.kind == rule
    assert hit.span in text
    assert hit.item_span in BOXES + ROOT
    assert len(hit.span) > 20


@pytest.mark.parametrize(
    "text",
    [
        BOXES.replace("45", "46")
        .replace("shop", "store")
        .replace("of", "for")
        .replace("the", "this"),
        ROOT.replace("31", "32"),
        "What is 3 + 4 * 5?",  # another formula goes on where the item ends
        "What is 2 * 3 + 4?",
        "What is 4 + 3?",
        "How many red boxes are there?",
        "Find the least prime above $31$.",  # a part of fewer than eight words says too little
        "",
        "???",
    ],
)
def test_another_problem_is_not_found(text: str) -> None:
    assert found(text) is None


def test_an_item_without_a_word_matches_nothing() -> None:
    index = BenchmarkIndex([Reference("odd", "0", "?!"), Reference("odd", "1", "")], RULES)
    assert index.strongest(make_query("?!")) is None
    assert index.strongest(make_query("What is it?")) is None


def test_items_of_one_template_are_told_apart_by_what_differs() -> None:
    text = "Say how often the letter {} stands in the word {} and give the number alone, please."
    words = [f"{a}{b}{c}rine" for a in "bdfgklmnpt" for b in "aeiou" for c in "bdfgk"]
    items = [Reference("letters", str(i), text.format("r", word)) for i, word in enumerate(words)]
    index = BenchmarkIndex(items, RULES)
    hit = index.strongest(make_query("Hello! " + text.format("r", words[77])))
    assert hit is not None
    assert hit.item_id == "77"
    assert index.strongest(make_query("Say how often a letter stands in a word.")) is None
