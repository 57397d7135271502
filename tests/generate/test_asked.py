from pathlib import Path

import pytest

from stillhouse import layout
from stillhouse.generate.asked import asked_categories, asked_queries
from stillhouse.params.load import load_teacher
from stillhouse.records import Query
from stillhouse.tables.write import write_table
from tests.queries.query_builder import make_query

ROOT = Path(__file__).resolve().parents[2]


def test_a_teacher_is_asked_the_queries_of_its_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = load_teacher("worked", ROOT).teacher
    monkeypatch.chdir(tmp_path)
    queries = [
        make_query("What is 1 + 1?", "sums", "math"),
        make_query("What is 2 * 2?", "products", "math"),
        make_query("Why is the sky blue?", "science", "science"),
    ]
    write_table(layout.CURATED_QUERIES, Query, queries)
    assert {one.source for one in asked_queries(teacher)} == {"sums", "products", "science"}
    assert asked_categories(teacher) == {"math": 2, "science": 1}
    some = teacher.model_copy(update={"sources": ["products", "science"]})
    assert {one.source for one in asked_queries(some)} == {"products", "science"}
    assert asked_categories(some) == {"math": 1, "science": 1}
