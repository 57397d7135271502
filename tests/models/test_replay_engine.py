import asyncio
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stillhouse.models.engine import EngineError, NoAnswerError, Request
from stillhouse.models.replay_engine import ReplayEngine
from stillhouse.records import Message, Query, Trace


class WordTokenizerDouble:
    """Stands in for a ChatTokenizer; a token is a word."""

    fingerprint = {"tokenizer_sha256": "words"}  # noqa: RUF012

    def render(self, messages: list[Message], system_prompt: str | None = None) -> str:
        return " ".join(m.content for m in messages) + " assistant:"

    def encode(self, text: str) -> list[int]:
        return list(range(len(text.split())))


TOKENIZER: Any = WordTokenizerDouble()


def query(query_id: str, prompt: str, solution: Trace | None = None) -> Query:
    return Query(
        id=query_id,
        category="math",
        source="made_up",
        license="cc0-1.0",
        messages=[Message(role="user", content=prompt)],
        solution=solution,
    )


def ask(engine: ReplayEngine, query_id: str, attempt: int = 0, prompt: str = "What is 1 + 1?"):
    request = Request(
        messages=[Message(role="user", content=prompt)], seed=1, query_id=query_id, attempt=attempt
    )
    return asyncio.run(engine.complete(request))


def jsonl(folder: Path, *rows: object) -> Path:
    path = folder / "answers.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_worked_solutions_are_played_back_once():
    queries = [
        query("a", "What is 1 + 1?", Trace(think="one more than one", answer="2")),
        query("b", "What is 2 + 2?", Trace(think="", answer="4")),
        query("c", "What is 3 + 3?"),
    ]
    engine = ReplayEngine.of_solutions("worked", TOKENIZER, queries)
    answer = ask(engine, "a")
    assert answer.text == "<think>\none more than one\n</think>\n\n2"
    assert (answer.prompt_tokens, answer.completion_tokens) == (6, 7)
    assert ask(engine, "b").text == "4"
    with pytest.raises(NoAnswerError, match="query a: 1 answers to replay, attempt 1"):
        ask(engine, "a", attempt=1)
    with pytest.raises(NoAnswerError, match="query c: 0 answers"):
        ask(engine, "c", prompt="What is 3 + 3?")
    assert engine.journaled is False


def test_a_file_answers_by_query_id_and_attempt_in_any_row_order(tmp_path: Path):
    path = jsonl(
        tmp_path,
        {"query_id": "a", "attempt": 1, "text": "second"},
        {"query_id": "a", "attempt": 0, "text": "first", "finish_reason": "length"},
        {"query_id": "a", "attempt": 2, "text": "third"},
    )
    engine = ReplayEngine.of_file("old", TOKENIZER, path)
    answers = [ask(engine, "a", attempt) for attempt in range(3)]
    assert [a.text for a in answers] == ["first", "second", "third"]
    assert [a.finish_reason for a in answers] == ["length", "stop", "stop"]


def test_rows_without_attempt_count_up(tmp_path: Path):
    path = jsonl(tmp_path, {"query_id": "a", "text": "first"}, {"query_id": "a", "text": "second"})
    engine = ReplayEngine.of_file("old", TOKENIZER, path)
    assert [ask(engine, "a", n).text for n in range(2)] == ["first", "second"]


def test_a_file_answers_by_prompt_whatever_its_unicode_form(tmp_path: Path):
    path = jsonl(tmp_path, {"prompt": "cafe\u0301?", "text": "yes"})
    engine = ReplayEngine.of_file("old", TOKENIZER, path)
    assert ask(engine, "unknown id", prompt="caf\u00e9?").text == "yes"
    with pytest.raises(NoAnswerError):
        ask(engine, "unknown id", prompt="cafe?")


def test_parquet_is_read_as_jsonl_is(tmp_path: Path):
    path = tmp_path / "answers.parquet"
    rows = [{"query_id": "a", "attempt": n, "text": f"text {n}"} for n in (1, 0)]
    pq.write_table(pa.Table.from_pylist(rows), path)
    engine = ReplayEngine.of_file("old", TOKENIZER, path)
    assert [ask(engine, "a", n).text for n in range(2)] == ["text 0", "text 1"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"query_id": "a", "text": "x"}, {"text": "x"}], "row 2: needs `query_id` or `prompt`"),
        ([{"query_id": "a", "answer": "x"}], "row 1: .*found the keys query_id, answer"),
        ([{"query_id": 3, "text": "x"}], "row 1: needs"),
        ([{"query_id": "a", "text": "x", "finish_reason": "eos"}], "stop or length"),
        ([{"query_id": "a", "text": "x", "attempt": "0"}], "a whole number as `attempt`"),
        ([{"query_id": "a", "text": "x", "attempt": 0}] * 2, "row 2: a second answer to 'a'"),
        ([["a", "x"]], "line 1: a JSON object"),
    ],
)
def test_a_malformed_row_is_named(tmp_path: Path, rows: list, message: str):
    path = jsonl(tmp_path, *rows)
    with pytest.raises(EngineError, match=message) as raised:
        ReplayEngine.of_file("old", TOKENIZER, path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("name", ["missing.jsonl", "broken.jsonl", "broken.parquet"])
def test_an_unreadable_file_is_named(tmp_path: Path, name: str):
    if name.startswith("broken"):
        (tmp_path / name).write_text("{not json")
    with pytest.raises(EngineError, match=f"{name}: cannot be read as JSONL or Parquet"):
        ReplayEngine.of_file("old", TOKENIZER, tmp_path / name)


def test_the_fingerprint_follows_the_content_of_the_file(tmp_path: Path):
    one = ReplayEngine.of_file("old", TOKENIZER, jsonl(tmp_path, {"query_id": "a", "text": "x"}))
    other = ReplayEngine.of_file("old", TOKENIZER, jsonl(tmp_path, {"query_id": "a", "text": "y"}))
    assert one.fingerprint != other.fingerprint
    assert one.fingerprint["tokenizer_sha256"] == "words"
