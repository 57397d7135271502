"""Rows of foreign data sets: nested columns, constants, choices, compressed files, known sets, adapters."""

import csv
import gzip
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stillhouse.params.queries import FileSource
from stillhouse.queries.adapters import ADAPTERS
from stillhouse.queries.adapters.base import AdaptedRow, Adapter, NotSelected, Unusable
from stillhouse.queries.faults import RowFaultError
from stillhouse.queries.rows import QueriesError
from stillhouse.queries.sources import RowRead, load_source
from stillhouse.records import Message, Query, Rejected


def read(path: Path, **changes: Any) -> list[RowRead]:
    values = {"id": "own", "kind": "file", "category": "math", "license": "mit", "path": str(path)}
    return list(load_source(FileSource.model_validate(values | changes), 1))


def of_rows(inputs: Path, rows: list[Any], **changes: Any) -> list[RowRead]:
    path = inputs / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read(path, **changes)


def one(inputs: Path, row: Any, **changes: Any) -> Query:
    (query,) = of_rows(inputs, [row], **changes)
    assert isinstance(query, Query), query
    return query


ROWS = [{"prompt": f"What is {i} + 0?", "ground_truth": str(i)} for i in range(3)]


def as_csv(rows: list[dict[str, str]], delimiter: str = ",") -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode("utf-8-sig")


def as_parquet(rows: list[dict[str, str]]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return bytes(sink.getvalue())


FORMATS = {
    "csv": as_csv(ROWS),
    "tsv": as_csv(ROWS, "\t"),
    "jsonl": "\n".join(map(json.dumps, ROWS)).encode() + b"\n\n",
    "ndjson": b"\xef\xbb\xbf" + "\r\n".join(map(json.dumps, ROWS)).encode(),
    "json": json.dumps(ROWS, indent=1).encode(),
    "parquet": as_parquet(ROWS),
}


@pytest.mark.parametrize("codec", ["", ".gz", ".zst"])
@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_gives_the_same_queries(inputs: Path, suffix: str, codec: str) -> None:
    content = FORMATS[suffix]
    if codec == ".gz":
        half = len(content) // 2  # two members, as of files that were joined
        content = gzip.compress(content[:half]) + gzip.compress(content[half:])
    elif codec == ".zst":
        content = bytes(pa.Codec("zstd").compress(content))
    path = inputs / f"rows.{suffix}{codec}"
    path.write_bytes(content)
    queries = read(path)
    assert [query.ground_truth for query in queries if isinstance(query, Query)] == ["0", "1", "2"]
    assert queries == of_rows(inputs, ROWS)


@pytest.mark.parametrize(
    "content",
    [{"data": ROWS, "version": 1}, "\n".join(map(json.dumps, ROWS))],
    ids=["an array in an object", "lines"],
)
def test_json_of_other_forms_is_read(inputs: Path, content: Any) -> None:
    path = inputs / "rows.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=2))
    assert read(path) == of_rows(inputs, ROWS)


def test_a_row_that_is_broken_costs_no_other_one(inputs: Path) -> None:
    lines = [
        json.dumps(ROWS[0]),
        '{"prompt": "half',
        "[1]",
        "[" * 10**6,
        "9" * 5000,
        "\udcff",
        json.dumps(ROWS[1]),
    ]
    path = inputs / "rows.jsonl"
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogateescape"))
    first, *broken, last = read(path)
    assert (first, last) == tuple(of_rows(inputs, ROWS[:2]))
    assert [(row.row, row.reason) for row in broken if isinstance(row, Rejected)] == [
        (number, "not_a_row") for number in range(2, 7)
    ]
    (inputs / "rows.csv").write_text("prompt,ground_truth\nWhy?,1\nHow?,2,3\nWho?\n")
    good, more, fewer = read(inputs / "rows.csv")
    assert isinstance(good, Query)
    assert [row.reason for row in (more, fewer) if isinstance(row, Rejected)] == ["not_a_row"] * 2


def test_a_cell_of_ten_megabytes_is_read(inputs: Path) -> None:
    rows = [{"prompt": "Why? " * 2_000_000, "ground_truth": "1"}]
    (inputs / "rows.csv").write_bytes(as_csv(rows))
    (query,) = read(inputs / "rows.csv")
    assert isinstance(query, Query)
    assert len(query.prompt) == 9_999_999
    (rejected,) = of_rows(inputs, [{"prompt": "Why?", "ground_truth": "1" * 10_000_000}])
    assert isinstance(rejected, Rejected)
    assert rejected.reason == "unreadable_reference"
    assert len(rejected.evidence or "") < 400


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        ({"reward_model": {"ground_truth": 42}}, "reward_model.ground_truth"),
        ({"metadata": '{"expected_answer": "42"}'}, "metadata.expected_answer"),
        ({"turns": [{"info": {"truth": "42"}}]}, "turns.0.info.truth"),
        ({"a.b": "42", "a": {"b": "wrong"}}, "a.b"),
        ({"a.b": {"c": "42"}}, "a.b.c"),
    ],
)
def test_a_column_may_lie_within_another(inputs: Path, row: dict[str, Any], columns: str) -> None:
    row |= {"q": "What is 6 * 7?"}
    query = one(inputs, row, columns={"prompt": "q", "ground_truth": columns})
    assert query.ground_truth == "42"


def test_an_empty_parent_of_a_nested_column_is_a_row_without_a_value(inputs: Path) -> None:
    rows = [{"q": "Why?", "r": {"t": 1}}, {"q": "Why?", "r": None}, {"q": "Why?", "r": {"t": None}}]
    found = of_rows(inputs, rows, columns={"prompt": "q", "ground_truth": "r.t"})
    assert [getattr(row, "reason", None) for row in found] == [None, "no_reference", "no_reference"]


def test_where_reaches_into_columns(inputs: Path) -> None:
    rows = [row | {"info": {"kind": kind}} for row, kind in zip(ROWS, "aba", strict=True)]
    found = of_rows(inputs, rows, where={"info.kind": "a"})
    assert [row.ground_truth for row in found if isinstance(row, Query)] == ["0", "2"]


def test_constants_hold_for_all_rows(inputs: Path) -> None:
    row = {"text": "Print 1.", "pairs": [{"input": "", "output": "1"}], "language": "java"}
    columns = {"prompt": "text", "tests": "pairs"}
    query = one(inputs, row, category="code", columns=columns, constants={"language": "C++17"})
    assert (query.language, len(query.tests)) == ("cpp", 1)
    # Without `columns`, a constant goes before the row's own column.
    row = {"prompt": "Print 1.", "tests": row["pairs"], "language": "java"}
    assert one(inputs, row, category="code", constants={"language": "python"}).language == "python"


GASES = ["oxygen", "neon", "iron"]
LISTED = "Which is a noble gas?\n\nA. oxygen\nB. neon\nC. iron"


@pytest.mark.parametrize(
    ("choices", "answer"),
    [
        (GASES, 1),
        (GASES, 1.0),
        (GASES, "B"),
        (GASES, "(b)"),
        (GASES, "neon"),
        (GASES, "Neon"),
        (GASES, "B) neon"),
        (GASES, "1"),
        (GASES, [1]),
        (json.dumps(GASES), 1),
        (["A)oxygen", "B)neon", "C)iron"], "B"),
        (["1. oxygen", "2. neon", "3. iron"], "2"),
        ({"A": "oxygen", "B": "neon", "C": "iron", "D": None}, "B"),
        ({"1": "oxygen", "2": "neon", "3": "iron"}, "2"),
        ({"text": GASES, "label": ["A", "B", "C"]}, "B"),
        (
            [
                {"key": "x", "value": "oxygen"},
                {"key": "y", "value": "neon"},
                {"key": "z", "value": "iron"},
            ],
            "y",
        ),
    ],
)
def test_choices_stand_in_the_prompt_and_their_letter_is_the_reference(
    inputs: Path, choices: Any, answer: Any
) -> None:
    row = {"question": "Which is a noble gas?", "options": choices, "answer": answer}
    columns = {"prompt": "question", "choices": "options", "ground_truth": "answer"}
    query = one(inputs, row, category="science", columns=columns)
    assert (query.prompt, query.ground_truth) == (LISTED, "B")


def test_a_prompt_that_lists_its_choices_stays_as_it_is(inputs: Path) -> None:
    row = {"prompt": LISTED.replace(". ", ") "), "choices": GASES, "ground_truth": 2}
    query = one(inputs, row, category="science")
    assert (query.prompt, query.ground_truth) == (row["prompt"], "C")


@pytest.mark.parametrize(
    ("choices", "answer", "said"),
    [
        (GASES, 3, "none of 3 options"),
        (GASES, -1, "none of 3"),
        (GASES, "helium", "none of 3"),
        (GASES, 1.5, "none of 3"),
        (GASES, True, "none of 3"),
        ([*GASES, "neon"], "neon", "two options"),
        ([*GASES, ""], 1, "without text"),
        (GASES * 4, 1, "12 options"),
        ("oxygen or neon", 1, "options as"),
        ([["a"], ["b"]], 1, "text or a number"),
    ],
)
def test_choices_without_one_right_answer_are_rejected(
    inputs: Path, choices: Any, answer: Any, said: str
) -> None:
    (row,) = of_rows(inputs, [{"prompt": "Which?", "choices": choices, "ground_truth": answer}])
    assert isinstance(row, Rejected)
    assert row.reason == "invalid_choices"
    assert said in (row.evidence or "")


def test_choices_without_an_answer_have_no_reference(inputs: Path) -> None:
    (row,) = of_rows(inputs, [{"prompt": "Which?", "choices": GASES, "ground_truth": None}])
    assert isinstance(row, Rejected)
    assert row.reason == "no_reference"


def test_starter_code_is_given_and_makes_methods(inputs: Path) -> None:
    starter = "class Solution:\n    def double(self, x: int) -> int:"
    tests = json.dumps({"inputs": [[2]], "outputs": [4], "fn_name": "double"})
    row = {"prompt": "Double it.", "starter_code": starter, "tests": tests}
    query = one(inputs, row, category="code")
    assert query.prompt.startswith("Double it.")
    assert starter in query.prompt
    assert (query.language, query.entry_point) == ("python", "Solution.double")
    assert query.tests[0].code is not None
    assert "Solution().double(2)" in query.tests[0].code


@pytest.mark.parametrize(
    ("prompt", "tests", "changes", "added"),
    [
        ("Double it.", ["assert double(1) == 2", "assert double(2) == 4"], {}, "double"),
        ("Double it.", ["assert sorted(double(1)) == math.floor(2)"], {}, "double"),
        ("Double it.", ["assert Thing().go(double(2))"], {}, None),
        ("Write `double`.", ["assert double(1) == 2"], {}, None),
        ("Write double(x).", ["assert double(1) == 2"], {}, None),
        ("Return the double.", ["assert double(1) == 2"], {}, "double"),
        ("What is by_two?", ["assert by_two(1) == 2"], {}, None),
        ("Double it.", ["assert made(double(1)) == 2"], {"setup": "made = int"}, "double"),
        ("Double it.", [{"input": "1", "output": "2"}], {}, None),
        ("Double it.", {"inputs": [[1]], "outputs": [2], "fn_name": "twice"}, {}, "twice"),
        (
            "Double it.",
            ["assert f(double(1)) == 2"],
            {"entry_point": "Solution.double"},
            "Solution.double",
        ),
    ],
)
def test_a_question_names_what_its_tests_call(
    inputs: Path, prompt: str, tests: Any, changes: dict[str, str], added: str | None
) -> None:
    row = {"prompt": prompt, "tests": tests, "language": "python"} | changes
    query = one(inputs, row, category="code")
    assert query.prompt == (f"{prompt}\n\nYour code must define `{added}`." if added else prompt)


def test_a_developer_is_a_system_prompt(inputs: Path) -> None:
    turns = [{"role": "developer", "content": "Be short."}, {"role": "User", "content": "Why?"}]
    query = one(inputs, {"messages": json.dumps(turns)}, category="other")
    assert query.messages == [
        Message(role="system", content="Be short."),
        Message(role="user", content="Why?"),
    ]


AM = {
    "system": "Think first.",
    "conversations": [
        {
            "from": "human",
            "value": "What is 41 * 4 - 14?",
            "info": {"category": "math", "source": "own", "ground_truth": "150", "test_case": None},
        },
        {"from": "assistant", "value": "<think>164 - 14</think><answer>150</answer>", "info": {}},
    ],
}


def test_the_am_sets_are_read_without_a_mapping(inputs: Path) -> None:
    turn = AM["conversations"][0]
    code = turn | {"info": {"category": "code", "test_case": json.dumps(["assert f(1) == 1"])}}
    found = of_rows(inputs, [AM, AM | {"conversations": [code]}])
    assert isinstance(found[0], Query)
    assert (found[0].prompt, found[0].ground_truth) == ("What is 41 * 4 - 14?", "150")
    assert found[1] == NotSelected("other_category")
    skipped, query = of_rows(inputs, [AM, AM | {"conversations": [code]}], category="code")
    assert skipped == NotSelected("other_category")
    assert isinstance(query, Query)
    assert query.tests[0].code == "assert f(1) == 1"


def test_a_released_set_is_read_without_a_mapping(inputs: Path) -> None:
    row = {
        "id": "1",
        "query_id": "2",
        "category": "math",
        "source": "sums",
        "source_license": "cc-by-4.0",
        "messages": [
            {"role": "user", "content": "What is 1 + 1?"},
            {"role": "assistant", "content": "2"},
        ],
        "ground_truth": "2",
        "answer": "2",
    }
    first, second = of_rows(inputs, [row, row | {"category": "code"}])
    assert isinstance(first, Query)
    assert (first.prompt, first.license, first.ground_truth) == ("What is 1 + 1?", "cc-by-4.0", "2")
    assert second == NotSelected("other_category")


def adapt_double(row: Mapping[str, Any]) -> AdaptedRow:
    """Stands in for an adapter of a public layout."""
    match row["kind"]:
        case "proof":
            return NotSelected("proof")
        case "empty":
            return Unusable("no_reference", "nothing in `answer`")
        case "fault":
            raise RowFaultError("invalid_tests", "no Python")
        case "sentinel":
            return {"prompt": row["problem"], "ground_truth": "notfound"}
        case _:
            return {"prompt": row["problem"], "ground_truth": row["answer"], "license": "mit"}


@pytest.fixture
def adapter(monkeypatch: pytest.MonkeyPatch) -> Adapter:
    found = Adapter(
        name="double",
        repo="owner/name",
        revision="1" * 40,
        config="main",
        split="test",
        license="cc-by-4.0",
        category="math",
        adapt=adapt_double,
    )
    monkeypatch.setitem(ADAPTERS, "double", found)
    return found


def test_an_adapter_makes_queries_and_typed_rejections(inputs: Path, adapter: Adapter) -> None:
    good = {"kind": "good", "problem": "What is 1 + 1?", "answer": 2}
    rows = [
        good,
        *({"kind": kind, "problem": "?"} for kind in ("proof", "empty", "fault", "sentinel", "x")),
        {},
    ]
    found = of_rows(inputs, rows, adapter="double", category=None, license=None)
    assert isinstance(found[0], Query)
    assert (found[0].category, found[0].license, found[0].ground_truth) == ("math", "mit", "2")
    assert found[1] == NotSelected("proof")
    assert [(row.row, row.reason) for row in found[2:] if isinstance(row, Rejected)] == [
        (3, "no_reference"),
        (4, "invalid_tests"),
        (5, "sentinel_reference"),
        (6, "invalid_value"),
        (7, "invalid_value"),
    ]
    # What is left out by design does not count in the limit.
    found = of_rows(inputs, [rows[1], *rows[:3]], adapter="double", category="math", limit=1)
    assert [type(row) for row in found] == [NotSelected, Query]


def test_an_unknown_adapter_is_answered_with_those_there_are(
    inputs: Path, adapter: Adapter
) -> None:
    with pytest.raises(QueriesError, match=r"no adapter 'doubel'; there are: .*double"):
        of_rows(inputs, [AM], adapter="doubel")
