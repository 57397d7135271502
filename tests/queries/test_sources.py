import json
import re
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from stillhouse.benchmark.items import load_items
from stillhouse.params.benchmark import BenchmarkTask
from stillhouse.params.load import load_run
from stillhouse.params.queries import EmbeddedSource, FileSource, GeneratorSource, HubSource
from stillhouse.queries.gym import Question, half_of
from stillhouse.queries.load import load_sources
from stillhouse.queries.rows import QueriesError
from stillhouse.queries.sources import RowRead, load_source
from stillhouse.queries.worked import worked_solution
from stillhouse.records import Constraint, Message, Query, Rejected, Trace

COMMIT = "1" * 40


def generator(**changes: Any) -> GeneratorSource:
    values = {
        "id": "sums",
        "kind": "reasoning_gym",
        "category": "math",
        "license": "apache-2.0",
        "generator": "chain_sum",
        "count": 5,
        "config": {"max_terms": 3, "max_digits": 1},
    }
    return GeneratorSource.model_validate(values | changes)


def own_file(path: Path, **changes: Any) -> FileSource:
    values = {"id": "own", "kind": "file", "category": "math", "license": "mit", "path": str(path)}
    return FileSource.model_validate(values | changes)


def read_rows(inputs: Path, rows: list[Any], **changes: Any) -> list[RowRead]:
    path = inputs / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return list(load_source(own_file(path, **changes), 1))


def load_rows(inputs: Path, rows: list[Any], **changes: Any) -> list[Query]:
    return only_queries(read_rows(inputs, rows, **changes))


def only_queries(rows: Iterable[RowRead]) -> list[Query]:
    """Return the queries; no row may have been rejected."""
    found = list(rows)
    assert [row for row in found if isinstance(row, Rejected)] == []
    return [row for row in found if isinstance(row, Query)]


def rejection(inputs: Path, row: Any, good: Any, **changes: Any) -> Rejected:
    """Return what became of a row that stands behind a good one."""
    first, second = read_rows(inputs, [good, row], **changes)
    assert isinstance(first, Query)
    assert isinstance(second, Rejected)
    return second


def test_generated_queries_repeat_with_the_seed_and_change_with_it() -> None:
    assert list(load_source(generator(), 1)) == list(load_source(generator(), 1))
    assert list(load_source(generator(), 1)) != list(load_source(generator(), 2))
    assert list(load_source(generator(), 1)) != list(load_source(generator(id="other"), 1))


def test_more_queries_keep_those_that_there_were() -> None:
    assert list(load_source(generator(count=9), 1))[:5] == list(load_source(generator(), 1))


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("chain_sum", {"max_terms": 4, "max_digits": 2, "allow_negation": True}),
        ("products", {"max_terms": 3, "max_digits": 3, "allow_negation": True}),
        ("letter_counting", {"min_words": 1, "max_words": 4}),
        ("gcd", {"max_numbers": 3}),
        ("lcm", {"max_numbers": 3}),
    ],
)
def test_generated_queries_carry_ground_truth_and_worked_steps_to_it(
    name: str, config: dict[str, Any]
) -> None:
    queries = only_queries(load_source(generator(generator=name, config=config, count=40), 3))
    for query in queries:
        assert query.solution is not None
        assert query.solution.think
        assert query.solution.answer == f"The answer is \\boxed{{{query.ground_truth}}}."


SUMS = {
    "min_terms": 3,
    "max_terms": 3,
    "min_digits": 1,
    "max_digits": 1,
    "operators": ["+"],
    "allow_parentheses": False,
    "allow_negation": False,
}


def test_sums_of_terms_have_bare_equations_as_steps() -> None:
    question = Question("Calculate 7 + 10 - 8.", "9", {"expression": "7 + 10 - 8"})
    solution = worked_solution("basic_arithmetic", question)
    assert solution == Trace(think="7 + 10 = 17. 17 - 8 = 9.", answer="The answer is \\boxed{9}.")
    for expression in ("2 * 3", "(1 + 2) - 3", "-1 + 2"):
        question = Question(f"Calculate {expression}.", "0", {"expression": expression})
        assert worked_solution("basic_arithmetic", question) is None


def test_queries_and_items_split_by_their_numbers_whatever_the_order() -> None:
    source = generator(generator="basic_arithmetic", config=SUMS, count=96, split_by_numbers=True)
    task = BenchmarkTask.model_validate(
        {
            "id": "held_out",
            "kind": "reasoning_gym",
            "generator": "basic_arithmetic",
            "config": SUMS,
            "count": 200,
            "samples": 1,
            "split_by_numbers": True,
        }
    )
    for seed in (1, 2, 3):
        asked = [numbers(query.prompt) for query in only_queries(load_source(source, seed))]
        held_out = [numbers(item.prompt) for item in load_items(task, seed)]
        assert (len(asked), len(held_out)) == (96, 200)
        assert not set(asked) & set(held_out)
    halves = Counter(
        half_of(f"Calculate {a} + {b} + {c}.")
        for a in range(11)
        for b in range(a, 11)
        for c in range(b, 11)
    )
    assert halves.total() == 286
    assert min(halves.values()) >= 120


def numbers(prompt: str) -> tuple[int, ...]:
    return tuple(sorted(map(int, re.findall(r"\d+", prompt))))


def test_every_query_of_the_committed_run_carries_a_worked_solution() -> None:
    run = load_run()
    queries = load_sources(run.queries, run.run.seed).queries
    assert 75 <= len(queries) <= 90
    assert [query.prompt for query in queries if query.solution is None] == []


def test_a_generator_without_steps_of_ours_has_no_solution() -> None:
    queries = only_queries(load_source(generator(generator="calendar_arithmetic", config={}), 3))
    assert all(query.ground_truth and query.solution is None for query in queries)


@pytest.mark.parametrize(
    "name",
    [
        *("binary_matrix", "countdown", "intermediate_integration", "n_queens", "puzzle24"),
        *("polynomial_multiplication", "simple_integration", "spiral_matrix", "string_insertion"),
        *("codeio", "game_of_life_halting", "composite"),
    ],
)
def test_unsafe_generators_are_refused(name: str) -> None:
    with pytest.raises(QueriesError, match=f"'sums'.*{name}.*refused"):
        list(load_source(generator(generator=name, config={}), 1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"generator": "sudokuu"}, "no generator 'sudokuu'; there are: .*chain_sum"),
        ({"config": {"min_terms": 9, "max_terms": 2}}, "does not take the config"),
        ({"config": {"terms": 9}}, "does not take the config"),
        ({"config": {"seed": 9}}, "must not hold seed"),
        ({"generator": "propositional_logic", "config": {}}, "no single reference answer"),
    ],
)
def test_a_generator_that_cannot_be_used_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(QueriesError, match=message):
        list(load_source(generator(**changes), 1))


def test_an_unknown_embedded_set_is_answered_with_those_there_are() -> None:
    source = EmbeddedSource(
        id="x", kind="embedded", category="code", license="apache-2.0", name="nope"
    )
    with pytest.raises(QueriesError, match=r"no embedded set 'nope'; there are: .*code_basics"):
        list(load_source(source, 1))


def test_a_plain_prompt_is_a_conversation_in_nfc(inputs: Path) -> None:
    (query,) = load_rows(inputs, [{"prompt": " Cafe\u0301?\r\n", "ground_truth": 7}])
    assert query.messages == [Message(role="user", content="Café?")]
    assert (query.ground_truth, query.source, query.license) == ("7", "own", "mit")


def test_columns_can_be_renamed_and_rows_limited(inputs: Path) -> None:
    rows = [{"question": f"What is {i} + 0?", "final": str(i)} for i in range(4)]
    columns = {"prompt": "question", "ground_truth": "final"}
    queries = load_rows(inputs, rows, columns=columns, limit=3)
    assert [query.ground_truth for query in queries] == ["0", "1", "2"]


IFEVAL = {
    "key": 7,
    "prompt": "Describe a mill.",
    "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"],
    "kwargs": [None, {"relation": "at least", "num_words": 50.0, "keyword": None}],
}


def test_the_layout_of_ifeval_is_read(inputs: Path) -> None:
    expected = [
        Constraint(id="punctuation:no_comma"),
        Constraint(
            id="length_constraints:number_words",
            kwargs={"relation": "at least", "num_words": 50},
        ),
    ]
    (query,) = load_rows(inputs, [IFEVAL], category="if")
    assert query.constraints == expected
    renamed = {"prompt": "prompt", "instruction_id_list": "ids", "kwargs": "arguments"}
    row = {
        "prompt": IFEVAL["prompt"],
        "ids": IFEVAL["instruction_id_list"],
        "arguments": IFEVAL["kwargs"],
    }
    (query,) = load_rows(inputs, [row], category="if", columns=renamed)
    assert query.constraints == expected


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kwargs": [{}]}, "needs `kwargs`, a list with the arguments of each"),
        ({"kwargs": None}, "needs `kwargs`, a list with the arguments of each"),
        ({"kwargs": [{}, {"words": 3}]}, "unknown argument words"),
        ({"kwargs": [{}, "at least"]}, "a constraint is a mapping"),
        ({"constraints": [{"id": "punctuation:no_comma"}]}, "keep one"),
        ({"instruction_id_list": [], "constraints": ["no_comma"]}, "a constraint is a mapping"),
        ({"instruction_id_list": ["no_comma"] * 2}, "no_comma: not one of the 25"),
        ({"instruction_id_list": "punctuation:no_comma"}, "needs `kwargs`"),
        ({"kwargs": [{}, {"relation": "at least"}]}, "needs .*num_words"),
        ({"kwargs": [{}, {"relation": "at least", "num_words": 10**30}]}, "a number above"),
    ],
)
def test_a_broken_layout_of_constraints_is_a_rejection(
    inputs: Path, changes: dict[str, Any], said: str
) -> None:
    row = rejection(inputs, IFEVAL | changes, IFEVAL, category="if")
    assert row.reason in ("invalid_constraints", "unknown_constraint")
    assert re.search(said, row.evidence or "")


SORTED = [
    {"prompt": f"What is {i} + 0?", "ground_truth": str(i), "category": category, "level": i % 3}
    for i, category in enumerate(["math", "code", "if", "math", "math", "other"])
]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
@pytest.mark.parametrize(
    ("where", "taken"),
    [
        ({"category": "math"}, "034"),
        ({"category": ["if", "code"]}, "12"),
        ({"category": "math", "level": 0}, "03"),
        ({"level": [1, 2]}, "1245"),
    ],
)
def test_where_takes_the_rows_with_the_given_values(
    inputs: Path, suffix: str, where: dict[str, Any], taken: str
) -> None:
    path = inputs / f"rows.{suffix}"
    if suffix == "parquet":
        pq.write_table(pa.Table.from_pylist(SORTED), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in SORTED))
    queries = only_queries(load_source(own_file(path, where=where), 1))
    assert [query.ground_truth for query in queries] == list(taken)


def test_the_limit_counts_what_where_took_and_no_row_behind_it_is_read(inputs: Path) -> None:
    rows = [*SORTED, ["not a row"]]
    queries = load_rows(inputs, rows, where={"category": "math"}, limit=3)
    assert [query.ground_truth for query in queries] == ["0", "3", "4"]


def test_where_names_columns_of_the_file_whatever_they_are_renamed_to(inputs: Path) -> None:
    rows = [{"q": "Why?", "a": "1", "kind": "x"}, {"q": "How?", "a": "2", "kind": "y"}]
    columns = {"prompt": "q", "ground_truth": "a"}
    (query,) = load_rows(inputs, rows, columns=columns, where={"kind": "y"})
    assert query.prompt == "How?"


def test_a_bad_row_is_named_by_its_place_in_the_file_and_not_among_the_taken(inputs: Path) -> None:
    rows = [*SORTED[:4], {"prompt": "Why?", "category": "math"}]
    *_, last = read_rows(inputs, rows, where={"category": "math"})
    assert isinstance(last, Rejected)
    assert (last.row, last.source, last.reason, last.query) == (5, "own", "no_reference", None)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (
            {"categroy": "math", "level": 1},
            r"'own': where: no row has the column categroy "
            r"\(columns there: category, ground_truth, level, prompt\)",
        ),
        ({"category": "maths"}, r"no row has .*'maths'.*there: category: 'code', 'if', 'math', 'o"),
        ({"level": "1"}, r"no row has .*'1'.*there: level: 0, 1, 2\)"),
        ({"category": "other", "level": 0}, r"no row has .*'other', 'level': 0"),
    ],
)
def test_a_where_that_leaves_nothing_is_answered_with_what_there_is(
    inputs: Path, where: dict[str, Any], message: str
) -> None:
    with pytest.raises(QueriesError, match=message):
        load_rows(inputs, SORTED, where=where)


def test_a_where_over_many_values_shows_a_few_of_them(inputs: Path) -> None:
    rows = [
        {"prompt": str(i), "ground_truth": "1", "text": f"{i:04d}" + 500 * "x"} for i in range(99)
    ]
    with pytest.raises(QueriesError) as caught:
        load_rows(inputs, rows, where={"text": "a"})
    assert str(caught.value).count("xxx'") == 0
    assert str(caught.value).count("'00") == 10
    assert len(str(caught.value)) < 800


def test_a_where_with_no_value_is_refused() -> None:
    with pytest.raises(ValidationError, match="at least 1 item"):
        own_file(Path("inputs/a.jsonl"), where={"category": []})


def test_the_licence_of_a_row_goes_before_that_of_its_source(inputs: Path) -> None:
    row = {"prompt": "Why?", "ground_truth": "1"}
    rows = [row | {"license": "cc-by-4.0"}, row | {"license": None}, row]
    assert [q.license for q in load_rows(inputs, rows)] == ["cc-by-4.0", "mit", "mit"]
    columns = {"prompt": "prompt", "ground_truth": "ground_truth"}
    assert [q.license for q in load_rows(inputs, rows, columns=columns)] == ["mit"] * 3
    found = read_rows(inputs, rows, columns=columns | {"license": "license"})
    assert [getattr(row, "reason", None) for row in found] == [None, "no_license", "no_license"]


def test_conversations_in_both_layouts_end_at_the_last_user_turn(inputs: Path) -> None:
    plain = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": "Because."},
    ]
    names = {"user": "human", "assistant": "gpt"}
    shared = [{"from": names[turn["role"]], "value": turn["content"]} for turn in plain]
    rows = [{"messages": plain}, {"messages": shared}]
    first, second = load_rows(inputs, rows, category="multiturn")
    assert first == second
    assert [message.content for message in first.messages] == ["Hi", "Hello", "Why?"]


def test_parquet_gives_what_jsonl_gives(inputs: Path) -> None:
    rows = [
        {
            "prompt": "Add two numbers.",
            "language": "python",
            "tests": [{"kind": "assert", "code": "assert add(1, 2) == 3", "output": None}],
        }
    ]
    path = inputs / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    from_parquet = list(load_source(own_file(path, category="code"), 1))
    assert from_parquet == load_rows(inputs, rows, category="code")


STDIO = {"kind": "stdio", "input": "1", "output": "1"}
CODE = {"prompt": "Add.", "language": "python", "tests": [{"kind": "assert", "code": "assert 1"}]}


NAN = float("nan")


@pytest.mark.parametrize(
    ("row", "category", "reason", "said"),
    [
        ({"ground_truth": "1"}, "math", "no_text", r"columns there: ground_truth\)"),
        ({"prompt": " \n", "ground_truth": "1"}, "math", "no_text", "prompt"),
        ({"prompt": "\u200b\ufeff", "ground_truth": "1"}, "math", "no_text", "prompt"),
        ({"prompt": ["Why?"], "ground_truth": "1"}, "math", "no_text", "found"),
        ({"prompt": "Why?"}, "math", "no_reference", "None"),
        ({"prompt": "Why?", "ground_truth": ""}, "science", "no_reference", "''"),
        ({"prompt": "Why?", "ground_truth": "  "}, "math", "no_reference", "' '"),
        ({"prompt": "Why?", "ground_truth": NAN}, "math", "no_reference", "nan"),
        ({"prompt": "Why?", "ground_truth": [None, NAN]}, "math", "no_reference", "nan"),
        ({"prompt": "Why?", "ground_truth": "proof"}, "math", "sentinel_reference", "proof"),
        ({"prompt": "Why?", "ground_truth": "NotFound."}, "math", "sentinel_reference", "NotF"),
        ({"prompt": "Why?", "ground_truth": "nan"}, "science", "sentinel_reference", "nan"),
        ({"prompt": "Why?", "ground_truth": "?"}, "science", "unreadable_reference", "nothing"),
        ({"prompt": "Why?", "ground_truth": {"a": 1}}, "science", "unreadable_reference", "found"),
        ({"prompt": "Why?", "ground_truth": float("inf")}, "math", "unreadable_reference", "inf"),
        (
            {"prompt": "Why?", "ground_truth": r"\sum_{k=1}^5 k"},
            "math",
            "unreadable_reference",
            "sum",
        ),
        ({"prompt": "Why?", "ground_truth": "1+" * 999}, "math", "unreadable_reference", "charac"),
        ({"prompt": "Why?"}, "code", "no_tests", "None"),
        (CODE | {"tests": "[]"}, "code", "no_tests", ""),
        (CODE | {"language": None, "tests": [STDIO]}, "code", "no_language", "constants"),
        (CODE | {"language": "cobol"}, "code", "no_language", "cobol"),
        (CODE | {"language": "cpp"}, "code", "invalid_tests", "asserts are Python"),
        (CODE | {"tests": [{"kind": "stdio"}]}, "code", "invalid_tests", "output"),
        (CODE | {"tests": [{"kind": "magic"}]}, "code", "invalid_tests", "magic"),
        (CODE | {"tests": [STDIO | {"tolerance": "x"}]}, "code", "invalid_tests", "tolerance"),
        (CODE | {"tests": ["assert add(1"]}, "code", "invalid_tests", "no Python"),
        (CODE | {"tests": {"inputs": ["1"], "outputs": []}}, "code", "unequal_tests", "1 inputs"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "other", "invalid_messages", "'tool'"),
        ({"messages": [{"role": "user"}]}, "other", "invalid_messages", "None"),
        ({"messages": ["Why?"]}, "other", "invalid_messages", "a turn is 'Why"),
        ({"messages": "Why?"}, "other", "invalid_messages", "a list of turns"),
        ({"messages": [{"role": "assistant", "content": "Hi"}]}, "other", "no_text", "user turn"),
        ({"prompt": "a \ud800 b"}, "other", "no_text", "no Unicode"),
        (
            {"prompt": "Why?", "choices": ["one"], "ground_truth": 0},
            "science",
            "invalid_choices",
            "1 o",
        ),
        (["Why?"], "other", "not_a_row", "found"),
    ],
)
def test_a_bad_row_is_rejected_with_its_place_and_what_was_found(
    inputs: Path, row: Any, category: str, reason: str, said: str
) -> None:
    good = CODE | {"ground_truth": "1", "constraints": [{"id": "punctuation:no_comma"}]}
    found = rejection(inputs, row, good, category=category)
    assert (found.query, found.source, found.row, found.reason) == (None, "own", 2, reason)
    assert found.evidence is not None
    assert re.search(said, found.evidence)
    assert "\n" not in found.evidence
    assert len(found.evidence) <= 400
    found.evidence.encode()


def test_what_a_category_does_not_need_rejects_no_row(inputs: Path) -> None:
    row = {
        "prompt": "Why?",
        "ground_truth": {"a": 1},
        "tests": 7,
        "language": "en",
        "kwargs": 3,
        "constraints": "n < 5",
        "setup": ["a"],
    }
    (query,) = load_rows(inputs, [row], category="other")
    assert (query.ground_truth, query.tests, query.constraints) == (None, [], [])
    assert (query.language, query.setup) == (None, None)


def test_broken_files_are_named(inputs: Path) -> None:
    (inputs / "bad.parquet").write_text("no parquet")
    (inputs / "bad.jsonl.gz").write_text("no gzip")
    (inputs / "bad.csv.zst").write_text("no zstd")
    (inputs / "bad.json").write_text("[1,")
    (inputs / "bad.csv").write_bytes(b"prompt\nCaf\xe9\n")
    (inputs / "bad.xlsx").write_text("prompt\n")
    (inputs / "empty.jsonl").write_text("\n")
    (inputs / "empty.csv").write_text("prompt\n")
    for name, message in {
        "bad.parquet": "unreadable parquet",
        "bad.jsonl.gz": "unreadable jsonl",
        "bad.csv.zst": "unreadable csv",
        "bad.json": "not JSON",
        "bad.csv": "unreadable csv .*utf-8",
        "bad.xlsx": r"suffix '\.xlsx' is not read; write the file as one of \.csv, .*\.gz or \.zst",
        "empty.jsonl": "it has no rows",
        "empty.csv": "it has no rows",
        "none.jsonl": "no such file",
    }.items():
        with pytest.raises(QueriesError, match=f"'own': .*{message}") as caught:
            list(load_source(own_file(inputs / name, category="other"), 1))
        assert "\n" not in str(caught.value)


def test_a_column_that_queries_do_not_have_is_refused(inputs: Path) -> None:
    with pytest.raises(QueriesError, match=r"columns: unknown answer; there are: .*ground_truth"):
        load_rows(inputs, [], columns={"answer": "final"})
    with pytest.raises(QueriesError, match=r"constants: unknown answer; there are: .*ground_truth"):
        load_rows(inputs, [], constants={"answer": "final"})


def test_a_mapped_column_that_no_row_has_is_refused(inputs: Path) -> None:
    rows = [{"q": "Why?", "a": 1}, {"q": "How?", "a": 2, "extra": None}]
    columns = {"prompt": "q", "constraints": "constraint", "ground_truth": "a.b"}
    message = r"columns: no row has 'constraint' \(constraints\), 'a.b' .*rows have: q, a, extra"
    with pytest.raises(QueriesError, match=message):
        read_rows(inputs, rows, columns=columns)
    (first, _) = load_rows(
        inputs, rows, columns=columns | {"constraints": "extra", "ground_truth": "a"}
    )
    assert first.ground_truth == "1"


class HubDouble:
    """Stands in for `datasets`: notes what was asked and streams given rows, or fails."""

    def __init__(self, rows: list[dict[str, Any]], error: Exception | None = None) -> None:
        self.rows, self.error = rows, error
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def load_dataset(self, repo: str, **options: Any) -> list[dict[str, Any]]:
        self.asked.append((repo, options))
        if self.error:
            raise self.error
        return self.rows


def hub_source(**changes: Any) -> HubSource:
    values = {
        "id": "hub_math",
        "kind": "hub",
        "category": "math",
        "license": "mit",
        "repo": "owner/name",
        "revision": COMMIT,
        "columns": {"prompt": "q", "ground_truth": "a"},
        "limit": 1,
    }
    return HubSource.model_validate(values | changes)


def test_a_hub_source_streams_the_pinned_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    double = HubDouble([{"q": "What is 1 + 1?", "a": "2"}, {"q": "never read", "a": None}])
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=double.load_dataset))
    (query,) = only_queries(load_source(hub_source(), 1))
    assert (query.prompt, query.ground_truth) == ("What is 1 + 1?", "2")
    options = {"name": None, "split": "train", "revision": COMMIT, "streaming": True}
    assert double.asked == [("owner/name", options)]


def test_where_filters_a_hub_source_as_it_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"q": "Why?", "a": None, "kind": "chat"}, {"q": "1 + 1?", "a": "2", "kind": "math"}]
    double = HubDouble(rows)
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=double.load_dataset))
    (query,) = only_queries(load_source(hub_source(where={"kind": "math"}), 1))
    assert query.prompt == "1 + 1?"
    with pytest.raises(QueriesError, match=r"'hub_math': where: no row .*there: kind: 'chat', 'm"):
        list(load_source(hub_source(where={"kind": "code"}), 1))


def test_a_hub_that_does_not_answer_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    double = HubDouble([], ConnectionError("offline"))
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=double.load_dataset))
    with pytest.raises(QueriesError, match=r"'hub_math': owner/name@1+ cannot be read.*offline"):
        list(load_source(hub_source(), 1))


def test_a_list_of_references_is_one_ground_truth(inputs: Path) -> None:
    rows = [
        {"prompt": "What is a half?", "ground_truth": ["1/2", 0.5, "1/2"]},
        {"prompt": "What is a third?", "ground_truth": ["1/3"]},
    ]
    several, one = load_rows(inputs, rows)
    assert several.references == ["1/2", "0.5"]
    assert (one.ground_truth, one.references) == ("1/3", ["1/3"])


@pytest.mark.parametrize("references", [["7", ""], ["7", None], [["7"]]])
def test_a_list_with_an_empty_reference_is_refused(inputs: Path, references: list[Any]) -> None:
    row = {"prompt": "What is 3 + 4?", "ground_truth": references}
    found = rejection(inputs, row, {"prompt": "What is 1 + 1?", "ground_truth": 2})
    assert found.reason == "unreadable_reference"
