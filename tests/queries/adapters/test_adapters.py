"""Every adapter on rows in its layout: good, empty, sentinel and malformed ones, and some that it leaves out."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stillhouse.params.queries import FileSource
from stillhouse.queries.adapters import ADAPTERS
from stillhouse.queries.adapters.base import AdaptedRow, NotSelected
from stillhouse.queries.faults import EVIDENCE_CHARS, RowFaultError
from stillhouse.queries.rows import COLUMNS
from stillhouse.queries.sources import load_source
from stillhouse.records import CATEGORIES, Query
from stillhouse.verify.code.check import check_code
from tests.verify.verify_builder import LIMITS
from tools.adapters_reference import PAGE, outcome, page, rows_of_tests

KINDS = {"good", "empty", "sentinel", "malformed"}
ROWS = rows_of_tests()
CASES = [
    pytest.param(name, entry, id=f"{name}-{number}-{entry['kind']}")
    for name, entries in ROWS.items()
    for number, entry in enumerate(entries)
]
PROGRAMS = [case for case in CASES if "program" in case.values[1]]
HOSTILE = [
    None,
    math.nan,
    "",
    "\ud800",
    "{" * 5000,
    [],
    [[]],
    {},
    {"a": None},
    10**5000,
    b"x",
    True,
    -1,
    [None],
]


@pytest.mark.parametrize(("name", "entry"), CASES)
def test_a_row_becomes_what_it_should(name: str, entry: dict[str, Any]) -> None:
    verdict, query = outcome(ADAPTERS[name], entry["row"])
    assert verdict == entry["verdict"]
    for column, wanted in entry.get("gives", {}).items():
        assert plain(query, column) == wanted


def plain(query: Query | None, column: str) -> Any:
    assert query is not None
    if column == "constraints":
        return [{"id": c.id, "kwargs": c.kwargs} for c in query.constraints]
    return getattr(query, column)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_source_of_a_file_is_read_by_its_adapter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """Tables give the rows types and fill their structs with nulls; category and licence are the adapter's."""
    monkeypatch.chdir(tmp_path)
    Path("inputs").mkdir()
    for name, entries in ROWS.items():
        for number, entry in enumerate(entry for entry in entries if entry["kind"] == "good"):
            path = Path(f"inputs/{name}_{number}.{suffix}")
            table = pa.Table.from_pylist([entry["row"]])
            if suffix == "parquet":
                pq.write_table(table, path)
            else:
                path.write_text(json.dumps(entry["row"]) + "\n")
            source = {"id": "own", "kind": "file", "adapter": name, "path": str(path)}
            (query,) = load_source(FileSource.model_validate(source), 1)
            assert isinstance(query, Query), f"{path}: {query}"
            assert query.category == ADAPTERS[name].category
            assert query.license in (ADAPTERS[name].license, entry.get("gives", {}).get("license"))
            for column, wanted in entry.get("gives", {}).items():
                assert plain(query, column) == wanted


@pytest.mark.parametrize(("name", "entry"), PROGRAMS)
def test_the_tests_of_a_code_row_tell_right_from_wrong(
    sandboxed: None, name: str, entry: dict[str, Any]
) -> None:
    _, query = outcome(ADAPTERS[name], entry["row"])
    assert query is not None
    right, wrong = (f"```python\n{entry[key]}\n```" for key in ("program", "wrong"))
    assert check_code(query, right, LIMITS).score == 1.0
    score = check_code(query, wrong, LIMITS).score
    assert score is not None
    assert score < 1.0


def test_every_adapter_has_all_kinds_of_rows_and_every_good_code_row_a_program() -> None:
    assert ROWS.keys() == ADAPTERS.keys()
    for name, entries in ROWS.items():
        assert {entry["kind"] for entry in entries} >= KINDS, name
        good = [entry for entry in entries if entry["kind"] == "good"]
        assert all(entry["verdict"] == "query" for entry in good), name
        if ADAPTERS[name].category == "code":
            assert all("program" in entry for entry in good), name
    rejecting = {"empty", "sentinel", "malformed"}
    for entry in (entry for entries in ROWS.values() for entry in entries):
        assert entry["verdict"].startswith("rejected") or entry["kind"] not in rejecting


@pytest.mark.parametrize("name", ADAPTERS)
def test_no_value_in_any_cell_stops_an_adapter(name: str) -> None:
    """Each cell of each test row, also within its lists and mappings, replaced by values of every type."""
    for entry in ROWS[name]:
        for row in spoilt(entry["row"]):
            check_outcome(name, row)


def spoilt(cell: Any) -> Iterator[Any]:
    """Yield the cell with one of its parts replaced or missing, for every part and every value."""
    parts = cell.items() if isinstance(cell, dict) else enumerate(cell)
    for key, part in list(parts):
        rest = cell.copy()
        del rest[key]
        yield rest
        for value in HOSTILE:
            changed = cell.copy()
            changed[key] = value
            yield changed
        if isinstance(part, dict | list):
            for inner in spoilt(part):
                changed = cell.copy()
                changed[key] = inner
                yield changed


def check_outcome(name: str, row: Mapping[str, Any]) -> None:
    fault, adapted = adapted_or_fault(name, row)
    if fault is not None:
        assert len(fault.evidence) <= EVIDENCE_CHARS
        fault.evidence.encode()
    elif isinstance(adapted, NotSelected):
        assert re.fullmatch(r"[a-z_]+", adapted.reason)
    else:
        assert isinstance(adapted, dict)
        assert adapted.keys() <= COLUMNS
    outcome(ADAPTERS[name], row)


def adapted_or_fault(
    name: str, row: Mapping[str, Any]
) -> tuple[RowFaultError | None, AdaptedRow | None]:
    try:
        return None, ADAPTERS[name].adapt(row)
    except RowFaultError as fault:
        return fault, None


def test_the_registry_is_well_formed() -> None:
    for name, adapter in ADAPTERS.items():
        assert name == adapter.name
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", adapter.repo)
        assert adapter.revision is None or re.fullmatch(r"[0-9a-f]{40}", adapter.revision)
        assert adapter.category in CATEGORIES
        assert adapter.license


def test_the_page_is_what_the_registry_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python tools/adapters_reference.py"
