"""The control with permuted answers: every answer moves within its category, and the queries stay."""

from collections import Counter
from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from stillhouse.filter.shuffle import OF_ANSWER, places, shuffle
from stillhouse.records import Example
from stillhouse.tables.read import read_table
from stillhouse.tables.write import write_table
from tests.report import fake_run

ROWS = st.dictionaries(st.text(max_size=4), st.sampled_from(["math", "code", "if"]), max_size=30)


@given(ROWS, st.integers(0, 3))
def test_every_answer_moves_within_its_category(rows: dict[str, str], seed: int) -> None:
    found = places(rows.items(), seed)
    assert sorted(found) == sorted(found.values()) == sorted(rows)
    assert all(rows[old] == rows[new] for old, new in found.items())
    count = Counter(rows.values())
    assert all((old == new) == (count[rows[old]] == 1) for old, new in found.items())
    assert places(reversed(rows.items()), seed) == found  # the order of the rows does not matter


def test_seeds_give_other_orders() -> None:
    rows = {str(i): "math" for i in range(50)}
    assert places(rows.items(), 1) != places(rows.items(), 2)


def test_the_table_has_the_queries_of_the_old_one_and_its_answers(tmp_path: Path) -> None:
    rows = [fake_run.example("worked", n, 5, f"answer {n}") for n in range(24)]
    rows = [msgspec.structs.replace(row, answer=f"answer to {row.query_id}") for row in rows]
    write_table(tmp_path / "aligned", Example, rows)
    shuffle(tmp_path / "aligned", tmp_path / "out/worked", 7)
    old = list(read_table(tmp_path / "aligned", Example))
    new = list(read_table(tmp_path / "out/worked", Example))
    assert Counter(row.answer for row in new) == Counter(row.answer for row in old)
    category = {row.answer: row.category for row in old}
    assert all(category[row.answer] == row.category for row in new)
    assert not any(row.answer.endswith(row.query_id) for row in new)
    blank = dict.fromkeys(OF_ANSWER)
    assert [msgspec.structs.replace(row, **blank) for row in new] == [
        msgspec.structs.replace(row, **blank) for row in old
    ]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["worked"]
