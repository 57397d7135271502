"""The same queries for all students: a row too long for one teacher goes for all; budgets are prefixes of one order."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from stillhouse import layout
from stillhouse.params.student import StudentText, TrainingBudget
from stillhouse.records import Example
from stillhouse.sft.chosen import chosen_examples, read_budget
from stillhouse.sft.encoding import load_encoder
from stillhouse.sft.fit import fit
from stillhouse.sft.gates import IGNORED, StudentError
from stillhouse.sft.rows import FitLength
from stillhouse.tables.read import read_column, read_table
from stillhouse.tables.write import write_table
from tests.sft.student_examples import TEMPLATE, example

ROOT = Path(__file__).resolve().parents[2]
TEACHERS = ("brief", "verbose")
ALL_ROWS = TrainingBudget(unit="rows", limit=None)


@pytest.fixture
def text(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudentText:
    """A student, in an empty project."""
    monkeypatch.chdir(tmp_path)
    return StudentText(
        model=f"path:{tiny_model}",
        revision="0" * 40,
        chat_template=str(ROOT / TEMPLATE),
        turn_format="think_tags",
        max_length=400,
    )


def write_aligned(long: dict[str, set[int]], rows: int = 10) -> None:
    """Write the sets of the teachers: brief and verbose answers, and those of `long` too long for the student."""
    for teacher, word in zip(TEACHERS, ("Yes.", "Yes, it is, as I said before. "), strict=True):
        write_table(
            layout.aligned(teacher),
            Example,
            [
                example(
                    n, word * (100 if n in long.get(teacher, ()) else 1 + n % 3), teacher=teacher
                )
                for n in range(rows)
            ],
        )


def ids(teacher: str) -> list[str]:
    return list(read_column(layout.training_ids("small", teacher), "query_id"))


def queries(*numbers: int) -> list[str]:
    return sorted(example(n, "x").query_id for n in numbers)


def test_a_row_too_long_for_one_teacher_is_left_out_for_all(text) -> None:
    write_aligned({"verbose": {3, 7}, "brief": {7, 8}})
    metrics = fit("small", text, TEACHERS, ALL_ROWS)
    kept = queries(*(n for n in range(10) if n not in (3, 7, 8)))
    assert ids("brief") == ids("verbose") == kept
    assert (metrics["aligned"], metrics["fits_all"]) == (10, 7)
    assert metrics["too_long"] == {"brief": 2, "verbose": 2}
    assert metrics["trained"] == metrics["fitting"]
    assert {found["rows"] for found in metrics["trained"].values()} == {7}


def test_the_lengths_are_those_of_the_encoded_rows(text) -> None:
    write_aligned({"verbose": {3}})
    metrics = fit("small", text, TEACHERS, ALL_ROWS)
    encoder = load_encoder(text)
    by_id = {row.id: row for row in read_table(layout.fit_lengths("small"), FitLength)}
    assert len(by_id) == 20
    for teacher in TEACHERS:
        sums = {"rows": 0, "tokens": 0, "loss_tokens": 0}
        for row, encoded in encoder.encode(read_table(layout.aligned(teacher), Example)):
            found = by_id[f"{row.query_id}/{teacher}"]
            in_loss = sum(label != IGNORED for label in encoded.labels)
            assert (found.tokens, found.loss_tokens) == (len(encoded.input_ids), in_loss)
            if row.query_id in ids(teacher):
                for name, number in (
                    ("rows", 1),
                    ("tokens", found.tokens),
                    ("loss_tokens", in_loss),
                ):
                    sums[name] += number
        assert metrics["trained"][teacher] == sums


def test_without_a_loss_the_examples_are_those_of_the_set_in_its_order(text) -> None:
    write_aligned({})
    fit("small", text, TEACHERS, ALL_ROWS)
    for teacher in TEACHERS:
        whole = list(read_table(layout.aligned(teacher), Example))
        chosen = chosen_examples(layout.aligned(teacher), layout.training_ids("small", teacher))
        assert list(chosen) == whole
        assert read_budget(layout.training_ids("small", teacher)).max_steps is None


def test_rows_are_the_same_first_ones_for_all(text) -> None:
    write_aligned({"verbose": {3}})
    fit("small", text, TEACHERS, ALL_ROWS)
    everything = ids("brief")
    metrics = fit("small", text, TEACHERS, TrainingBudget(unit="rows", limit=4))
    assert ids("brief") == ids("verbose") == everything[:4]
    assert metrics["budget"] == {"unit": "rows", "limit": 4, "target": 4}
    fit("small", text, TEACHERS, TrainingBudget(unit="rows", limit=100))
    assert ids("brief") == everything


def test_loss_tokens_end_at_the_smallest_sum(text) -> None:
    write_aligned({"verbose": {3}}, rows=40)
    metrics = fit("small", text, TEACHERS, TrainingBudget(unit="loss_tokens", limit=None))
    trained, target = metrics["trained"], metrics["budget"]["target"]
    assert target == metrics["fitting"]["brief"]["loss_tokens"]
    assert trained["brief"] == metrics["fitting"]["brief"]
    # Fewer of the longer rows, the first in the same order, and no more than the last row over the target.
    assert ids("verbose") == ids("brief")[: len(ids("verbose"))]
    assert len(ids("verbose")) < len(ids("brief"))
    longest = max(
        row.loss_tokens
        for row in read_table(layout.fit_lengths("small"), FitLength)
        if row.tokens <= text.max_length
    )
    assert target <= trained["verbose"]["loss_tokens"] < target + longest


@pytest.mark.parametrize("limit", [1, 60, 200, 10**6])
def test_smaller_budgets_are_within_larger_ones(text, limit) -> None:
    write_aligned({}, rows=20)
    fit("small", text, TEACHERS, TrainingBudget(unit="loss_tokens", limit=None))
    most = {teacher: ids(teacher) for teacher in TEACHERS}
    metrics = fit("small", text, TEACHERS, TrainingBudget(unit="loss_tokens", limit=limit))
    for teacher in TEACHERS:
        assert ids(teacher) == most[teacher][: len(ids(teacher))]
        assert ids(teacher)
    smallest = min(found["loss_tokens"] for found in metrics["fitting"].values())
    assert metrics["budget"]["target"] == min(limit, smallest)


def test_steps_go_with_all_rows(text) -> None:
    write_aligned({})
    fit("small", text, TEACHERS, TrainingBudget(unit="steps", limit=30))
    for teacher in TEACHERS:
        assert len(ids(teacher)) == 10
        assert read_budget(layout.training_ids("small", teacher)).max_steps == 30
    with pytest.raises(ValidationError, match="needs a `limit`"):
        TrainingBudget(unit="steps", limit=None)


def test_nothing_that_fits_is_an_error(text) -> None:
    write_aligned({"brief": {0, 1}, "verbose": {2}}, rows=3)
    with pytest.raises(StudentError, match=r"recipe\.max_length 400 .*brief 2, verbose 1"):
        fit("small", text, TEACHERS, ALL_ROWS)


def test_sets_of_different_runs_are_refused(text) -> None:
    write_aligned({})
    write_table(layout.aligned("brief"), Example, [example(n, "Yes.") for n in range(9)])
    with pytest.raises(StudentError, match=r"data/aligned/brief: no row .*dvc repro align"):
        fit("small", text, TEACHERS, ALL_ROWS)


def test_a_damaged_budget_is_named(text) -> None:
    write_aligned({})
    fit("small", text, TEACHERS, ALL_ROWS)
    path = layout.training_ids("small", "brief") / "budget.json"
    for broken in ("{", '{"max_steps": "many"}'):
        path.write_text(broken)
        with pytest.raises(StudentError, match=r"budget\.json"):
            read_budget(path.parent)
    path.unlink()
    with pytest.raises(StudentError, match="stage fit"):
        read_budget(path.parent)
