"""All sources of a run: counts of what became of their rows, and the largest share of rejected rows."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import pytest

from stillhouse import layout
from stillhouse.params.load import load_run
from stillhouse.params.queries import Queries
from stillhouse.queries.curate import curate, metrics, write
from stillhouse.queries.faults import RowReason
from stillhouse.queries.load import load_sources
from stillhouse.queries.rows import COLUMNS, QueriesError
from stillhouse.records import Rejected
from stillhouse.tables.read import read_table

GOOD = [{"prompt": f"What is {i} plus one hundred?", "ground_truth": i + 100} for i in range(7)]
BAD: list[dict[str, Any]] = [
    {"prompt": "What is missing?", "ground_truth": None},
    {"prompt": "Prove that.", "ground_truth": "proof"},
    {"prompt": "What is empty?", "ground_truth": " "},
]


def spec(inputs: Path, rows: list[dict[str, Any]], **changes: Any) -> Queries:
    (inputs / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = {"id": "own", "kind": "file", "category": "math", "license": "mit"}
    sources = [source | {"path": "inputs/rows.jsonl"}]
    return Queries.model_validate(RULES | {"sources": sources} | changes)


def equal(license_name: str) -> int:
    """Say that no licence restricts its users more than another."""
    return 0


ROOT = Path(__file__).resolve().parents[2]
RULES = load_run(ROOT).queries.model_dump()


def test_too_many_rejected_rows_fail_with_reasons_and_three_examples(inputs: Path) -> None:
    with pytest.raises(QueriesError) as caught:
        curate(spec(inputs, [*GOOD, *BAD]), [], 1, equal)
    said = str(caught.value).splitlines()
    assert said[0] == (
        "query source 'own': 3 of 10 rows cannot become queries, more than queries.max_rejected_share 0.2 "
        "allows (no_reference 2, sentinel_reference 1):"
    )
    assert [line.split(":")[0] for line in said[1:4]] == ["  row 8", "  row 9", "  row 10"]
    assert "stillhouse queries preview own" in said[4]
    assert not Path("data").exists()


def test_the_share_counts_rows_that_are_no_queries_and_nothing_else(inputs: Path) -> None:
    twice = [*GOOD, *GOOD, BAD[0]]  # 7 duplicates do not count
    found = curate(spec(inputs, twice, max_rejected_share=0.07), [], 1, equal)
    assert len(found.curated) == 7
    assert sum(row.reason == "exact_duplicate" for row in found.rejected) == 7
    with pytest.raises(QueriesError, match="1 of 15 rows"):
        load_sources(spec(inputs, twice, max_rejected_share=0.05), 1)
    source = spec(inputs, [*GOOD, *BAD]).sources[0].model_dump() | {
        "where": {"ground_truth": [101]}
    }
    loaded = load_sources(spec(inputs, [*GOOD, *BAD], sources=[source], max_rejected_share=0), 1)
    assert loaded.not_selected == {"own": {"where": 9}}


def test_rejections_are_in_the_table_and_counted_by_source(inputs: Path) -> None:
    rules = spec(inputs, [*GOOD, *GOOD[:1], *BAD], max_rejected_share=0.5)
    found = curate(rules, [], 1, equal)
    counts = write(found, rules, {}, Counter())
    assert counts == metrics(rules, found.loaded, found.curated, found.rejected) | {
        "contamination": {},
        "not_compared": [],
        "conflicts": {},
        "demands": {"asked": 0},
    }
    own = counts["by_source"]["own"]
    assert own["rows_rejected"] == {"no_reference": 2, "sentinel_reference": 1}
    assert (own["loaded"], own["kept"], own["not_selected"]) == (8, 7, {})
    assert counts["rejected"] == {"exact_duplicate": 1}
    assert counts["rows_rejected"] == own["rows_rejected"]
    table = list(read_table(layout.REJECTED_QUERIES, Rejected))
    assert {(row.source, row.row, row.reason) for row in table} == {
        ("own", 9, "no_reference"),
        ("own", 10, "sentinel_reference"),
        ("own", 11, "no_reference"),
        ("own", None, "exact_duplicate"),
    }
    assert all(row.evidence for row in table if row.query is None)


def test_the_page_of_query_sources_has_every_reason_and_every_column() -> None:
    page = (ROOT / "docs/reference/queries.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", page, re.MULTILINE))
    found = {name.strip("`") for cell in named for name in cell.split(", ")}
    assert set(get_args(RowReason)) | COLUMNS <= found
