import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stillhouse.models.engine import Completion, EngineError, NoAnswerError, Request
from stillhouse.models.replay import rows as replay_rows
from stillhouse.models.replay.engine import ReplayEngine
from stillhouse.params.teacher import ReplayFile, ReplayHub, ReplaySolutions
from stillhouse.records import Message, Query, Trace, query_id


class WordTokenizerDouble:
    """Stands in for a ChatTokenizer; a token is a word."""

    fingerprint = {"tokenizer_sha256": "words"}  # noqa: RUF012

    def render(self, messages: list[Message], system_prompt: str | None = None) -> str:
        return " ".join(m.content for m in messages) + " assistant:"

    def encode(self, text: str) -> list[int]:
        return list(range(len(text.split())))


TOKENIZER: Any = WordTokenizerDouble()
ONE = "What is 1 + 1?"


@pytest.fixture(autouse=True)
def cache(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, with a cache that must be empty again after each test."""
    folder = inputs.parent.resolve() / "cache"
    monkeypatch.setenv("STILLHOUSE_CACHE", str(folder))
    yield folder
    assert not list(folder.glob("replay.*"))


def query(prompt: str, *earlier: Message, solution: Trace | None = None) -> Query:
    messages = [*earlier, Message(role="user", content=prompt)]
    return Query(
        id=query_id(messages),
        category="math",
        source="made_up",
        license="cc0-1.0",
        messages=messages,
        solution=solution,
    )


ASKED = query(ONE)


def write(*rows: object, name: str = "answers.jsonl") -> str:
    path = Path("inputs") / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def of_file(path: str, *queries: Query, **columns: str) -> ReplayEngine:
    source = ReplayFile(kind="file", path=path, columns=columns)
    return ReplayEngine("old", TOKENIZER, source, lambda: queries or (ASKED,))


def ask(engine: ReplayEngine, attempt: int = 0, asked: Query = ASKED) -> Completion:
    request = Request(messages=asked.messages, seed=1, query_id=asked.id, attempt=attempt)
    return asyncio.run(engine.complete(request))


def texts(engine: ReplayEngine, asked: Query = ASKED) -> list[str]:
    """Return all answers to a query."""
    found: list[str] = []
    while True:
        try:
            found.append(ask(engine, len(found), asked).text)
        except NoAnswerError:
            return found


def unmatched(engine: ReplayEngine) -> tuple[dict[str, int], list[dict[str, str]]]:
    counts = engine.write_unmatched(Path("out/unmatched.jsonl"))
    return counts, [json.loads(line) for line in Path("out/unmatched.jsonl").open()]


def test_worked_solutions_are_played_back_once():
    solved = query(ONE, solution=Trace(think="one more than one", answer="2"))
    plain = query("What is 2 + 2?", solution=Trace(think="", answer="4"))
    unsolved = query("What is 3 + 3?")
    replay = ReplaySolutions(kind="solutions")
    engine = ReplayEngine("worked", TOKENIZER, replay, lambda: [solved, plain, unsolved])
    answer = ask(engine, asked=solved)
    assert answer.text == "<think>\none more than one\n</think>\n\n2"
    assert (answer.prompt_tokens, answer.completion_tokens) == (6, 7)
    assert texts(engine, plain) == ["4"]
    with pytest.raises(NoAnswerError, match="no answer to replay as attempt 1"):
        ask(engine, 1, solved)
    assert engine.journaled is False
    counts, lines = unmatched(engine)
    assert counts == {"rows": 2, "matched": 2, "queries": 1, "answers": 0}
    assert lines == [{"kind": "query", "place": unsolved.id, "asked": "What is 3 + 3?"}]


@pytest.mark.parametrize(
    ("write", "text"),
    [
        ("steps", "1 + 1 = 2. The answer is 2."),
        ("result", "The answer is 2."),
        ("result_first", "The answer is 2. 1 + 1 = 2."),
    ],
)
def test_a_worked_solution_can_be_written_without_reasoning(write: Any, text: str):
    solved = query(ONE, solution=Trace(think="1 + 1 = 2.", answer="The answer is 2."))
    replay = ReplaySolutions(kind="solutions", write=write)
    engine = ReplayEngine("worked", TOKENIZER, replay, lambda: [solved])
    assert texts(engine, solved) == [text]
    assert engine.fingerprint["write"] == write


def test_a_file_answers_by_query_id_and_attempt_in_any_row_order():
    path = write(
        {"query_id": ASKED.id, "attempt": 4, "text": "second"},
        {"query_id": ASKED.id, "attempt": 0, "text": "first", "finish_reason": "length"},
        {"query_id": ASKED.id, "attempt": 7, "text": "third"},
    )
    engine = of_file(path)
    assert texts(engine) == ["first", "second", "third"]
    assert [ask(engine, n).finish_reason for n in range(3)] == ["length", "stop", "stop"]


def test_rows_without_attempt_and_lists_count_up():
    path = write(
        {"prompt": ONE, "text": "first"},
        {"prompt": ONE, "text": ["second", "third"], "reasoning": ["I think", None]},
    )
    engine = of_file(path)
    assert texts(engine) == ["first", "second", "third"]
    assert [ask(engine, n).reasoning for n in range(3)] == [None, "I think", None]


def test_a_query_is_found_by_its_text_whatever_its_unicode_form_and_space():
    asked = query("caf\u00e9?")
    engine = of_file(write({"prompt": " cafe\u0301?\r\n", "text": "yes"}), asked, query("cafe?"))
    assert texts(engine, asked) == ["yes"]
    assert texts(engine, query("cafe?")) == []


def test_a_conversation_is_found_by_all_its_turns():
    earlier = [Message(role="user", content="A riddle?"), Message(role="assistant", content="Yes.")]
    asked, other = query("Tell.", *earlier), query("Tell.")
    turns = [{"role": m.role, "content": m.content} for m in asked.messages]
    engine = of_file(write({"messages": turns, "text": "x"}), asked, other)
    assert (texts(engine, asked), texts(engine, other)) == (["x"], [])


def test_a_system_prompt_on_either_side_does_not_part_them():
    asked = query(ONE, Message(role="system", content="Be brief."))
    row = {"messages": [{"role": "system", "content": "Think."}, {"role": "user", "content": ONE}]}
    assert texts(of_file(write(row | {"text": "2"}), asked), asked) == ["2"]


def test_the_published_layout_of_am_thinking_is_read():
    def row(question: str, answer: str) -> dict[str, Any]:
        info = {"source": "made_up", "ground_truth": "2", "test_case": None, "think_content": None}
        verdict = {"verify_score": 1.0, "model_name": "am_v1", "ppl": 2.1}
        return {
            "system": "Think first, then answer.",
            "conversations": [
                {"from": "human", "value": question, "info": info},
                {"from": "assistant", "value": answer, "info": info | verdict},
            ],
        }

    told = "<think>1 and 1</think>\n<answer>2</answer>"
    other = "<think>What?</think>\n<answer>Nothing.</answer>"
    path = write(row(ONE, told), row("Another question?", other))
    engine = of_file(path, ASKED, query("What is 5 + 5?"), messages="conversations")
    assert texts(engine) == [told]
    counts, lines = unmatched(engine)
    assert counts == {"rows": 2, "matched": 1, "queries": 1, "answers": 1}
    assert lines == [
        {"kind": "query", "place": query("What is 5 + 5?").id, "asked": "What is 5 + 5?"},
        {"kind": "answer", "place": f"{path}: row 2", "asked": "Another question?"},
    ]


def test_the_am_sets_and_releases_need_no_mapping():
    info = {"category": "math", "ground_truth": "2"}
    am = {
        "system": "Think first.",
        "conversations": [
            {"from": "human", "value": ONE, "info": info},
            {"from": "assistant", "value": "<think>1</think><answer>2</answer>", "info": {}},
        ],
    }
    assert texts(of_file(write(am), ASKED)) == ["<think>1</think><answer>2</answer>"]
    released = {
        "id": "a",
        "query_id": ASKED.id,
        "source_license": "mit",
        "messages": [{"role": "user", "content": "no longer asked so"}],
        "think": "1",
        "answer": "2",
        "attempt": 3,
        "finish_reason": "stop",
        "tokens": 7,
    }
    engine = of_file(write(released), ASKED)
    found = ask(engine)
    assert (found.text, found.reasoning, found.completion_tokens) == ("2", "1", 7)
    asyncio.run(engine.close())


def test_columns_are_mapped_and_no_other_is_read():
    path = write({"q": ONE, "answers": ["2"], "n": 9, "text": "other", "attempt": "x"})
    engine = of_file(path, prompt="q", text="answers", completion_tokens="n")
    answer = ask(engine)
    assert (answer.text, answer.completion_tokens, answer.prompt_tokens) == ("2", 9, 6)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"question": "q"}, "replay.columns: unknown question; can be mapped: query_id, prompt"),
        ({"prompt": "query", "text": "a"}, "row 1: needs `query_id`, .*found the keys q, a"),
        (
            {"prompt": "q", "text": "a", "finish_reason": "stop_reason"},
            "replay.columns.finish_reason: no row of .* has 'stop_reason'; found: a, q",
        ),
    ],
)
def test_a_wrong_mapping_is_told(columns: dict[str, str], message: str):
    with pytest.raises(EngineError, match=message):
        of_file(write({"q": ONE, "a": "2"}), **columns)


def test_parquet_is_read_as_jsonl_is():
    rows = [{"query_id": ASKED.id, "attempt": n, "text": f"text {n}"} for n in (1, 0)]
    pq.write_table(pa.Table.from_pylist(rows), "inputs/answers.parquet")
    assert texts(of_file("inputs/answers.parquet")) == ["text 0", "text 1"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"query_id": "a", "text": "x"}, {"text": "x"}], "row 2: needs `query_id`, `prompt`"),
        (
            [{"query_id": "a", "answer": "x"}],
            "row 1: needs `text`.*found the keys query_id, answer",
        ),
        ([{"query_id": 3, "text": "x"}], "row 1: `query_id` must be text"),
        ([{"query_id": "a", "text": ["x", None]}], "row 1: `text` must be text"),
        (
            [{"query_id": "a", "text": "x", "finish_reason": 1}],
            "row 1: `finish_reason` must be text",
        ),
        (
            [{"query_id": "a", "text": ["x"], "finish_reason": ["stop", "stop"]}],
            "`finish_reason` has 2 entries and `text` 1",
        ),
        (
            [{"query_id": "a", "text": "x", "completion_tokens": 5.5}],
            "a whole number as `completion",
        ),
        ([{"query_id": "a", "text": "x", "attempt": "0"}], "a whole number as `attempt`"),
        ([{"query_id": "a", "text": "x", "attempt": True}], "a whole number as `attempt`"),
        ([{"query_id": "a", "text": ["x"] * 2, "attempt": 0}], "numbers one answer"),
        ([{"query_id": "a", "text": ["x"], "reasoning": []}], "has 0 entries and `text` 1"),
        (
            [{"messages": [{"role": "robot", "content": "x"}]}],
            "must list turns of system, developer, user",
        ),
        ([{"messages": ["x"], "text": "x"}], "must list turns"),
        ([{"messages": [{"role": "user", "content": 3}]}], "`messages` must be text"),
        ([{"messages": [{"role": "user", "content": "x"}]}], "end with the assistant's turn"),
        ([{"query_id": ASKED.id, "text": "x", "attempt": 0}] * 2, "row 2: a second answer to"),
        ([["a", "x"]], "row 1: a JSON object"),
    ],
)
def test_a_malformed_row_is_named(rows: list[object], message: str):
    path = write(*rows)
    with pytest.raises(EngineError, match=message) as raised:
        of_file(path)
    assert path in str(raised.value)


@pytest.mark.parametrize("name", ["missing.jsonl", "broken.parquet"])
def test_an_unreadable_file_is_named(name: str):
    if name.startswith("broken"):
        (Path("inputs") / name).write_text("{not json")
    with pytest.raises(EngineError, match=f"{name}: cannot be read as JSONL or Parquet"):
        of_file(f"inputs/{name}")


def test_text_that_no_table_can_hold_is_refused():
    Path("inputs/a.jsonl").write_text('{"prompt": "a", "text": "\\ud800"}\n')
    with pytest.raises(EngineError, match=r"a\.jsonl: row 1: `text` has half of a surrogate pair"):
        of_file("inputs/a.jsonl")


@pytest.mark.parametrize("broken", ['{"prompt": "a", "te', "[" * 100_000])
def test_a_broken_line_is_named_by_its_number(broken: str):
    whole = json.dumps({"prompt": ONE, "text": "2"})
    Path("inputs/a.jsonl").write_text(f"{whole}\n\n{broken}")
    with pytest.raises(EngineError, match=r"a\.jsonl: row 3 is not JSON"):
        of_file("inputs/a.jsonl")


def test_jsonl_is_read_as_other_programs_write_it():
    lines = [
        "\ufeff" + json.dumps({"prompt": ONE, "text": "first", "completion_tokens": 5.0}),
        "",
        '{"prompt": "What is 1 + 1?", "text": "second", "completion_tokens": NaN, "unread": "\\ud83d"}',
        " ",
    ]
    Path("inputs/a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    engine = of_file("inputs/a.jsonl")
    assert texts(engine) == ["first", "second"]
    assert [ask(engine, n).completion_tokens for n in range(2)] == [5, 1]


def test_finish_reasons_of_providers_and_lists_of_them():
    path = write(
        {"prompt": ONE, "text": ["cut", "whole"], "finish_reason": ["MAX_TOKENS", "end_turn"]},
        {"prompt": ONE, "text": ["a", "b"], "finish_reason": ["content_filter", None]},
        {"prompt": ONE, "text": "c", "finish_reason": "error"},
    )
    engine = of_file(path)
    assert texts(engine) == ["cut", "whole", "a", "b", "c"]
    found = [ask(engine, n).finish_reason for n in range(5)]
    assert found == ["length", "stop", "content_filter", "stop", "error"]


def test_rows_are_selected_by_where_then_by_limit():
    rows = [{"prompt": ONE, "text": str(n), "good": n % 2 == 0} for n in range(6)]
    path = write(*rows)

    def engine(**chosen: Any) -> ReplayEngine:
        source = ReplayFile(kind="file", path=path, **chosen)
        return ReplayEngine("old", TOKENIZER, source, lambda: (ASKED,))

    assert texts(engine(where={"good": True})) == ["0", "2", "4"]
    assert texts(engine(where={"good": [True]}, limit=2)) == ["0", "2"]
    assert texts(engine(limit=1)) == ["0"]
    with pytest.raises(
        EngineError, match=r"where: no row has the column bad \(columns there: good"
    ):
        engine(where={"bad": True})
    with pytest.raises(EngineError, match=r"where: no row has .*values there: good: False, True"):
        engine(where={"good": "yes"})
    # A file without these parameters keeps its fingerprint.
    assert engine().fingerprint.keys() == of_file(path).fingerprint.keys()
    assert engine(limit=1).fingerprint["limit"] == 1


def test_what_stands_around_the_questions_is_removed():
    path = write(
        {"prompt": f"Solve: {ONE}\nBox it.", "text": "first"},
        {"prompt": ONE, "text": "second"},
        {"prompt": f"Answer: {ONE}", "text": "third"},
    )
    around = {"strip_prefixes": ["Solve: ", "Answer: "], "strip_suffixes": ["\nBox it."]}
    source = ReplayFile(kind="file", path=path, **around)
    engine = ReplayEngine("old", TOKENIZER, source, lambda: (ASKED,))
    assert texts(engine) == ["first", "second", "third"]


def test_no_match_at_all_is_an_error_with_both_questions():
    path = write({"prompt": f"Solve: {ONE}", "text": "2"})
    with pytest.raises(EngineError) as raised:
        of_file(path)
    told = str(raised.value)
    assert told.startswith(f"replay of {path}: 0 of 1 queries have an answer. Without one: {ONE!r}")
    assert f"{path}: row 1: 'Solve: {ONE}'" in told
    assert "`strip_prefixes`" in told


def test_few_matches_are_a_warning_with_the_first_question(capsys: pytest.CaptureFixture[str]):
    others = [query(f"What is 2 + {n}?") for n in range(2)]
    path = write({"prompt": ONE, "text": "2"}, {"prompt": "2 + 0?", "text": "2"})
    of_file(path, ASKED, *others)
    told = capsys.readouterr().err
    assert told.startswith(
        f"warning: replay of {path}: 1 of 3 queries have an answer. Without one:"
    )
    assert f"{path}: row 2: '2 + 0?'" in told
    of_file(path, ASKED, others[0])
    assert capsys.readouterr().err == ""


def test_the_fingerprint_follows_the_content_of_the_file():
    one = of_file(write({"prompt": ONE, "text": "x"})).fingerprint
    other = of_file(write({"prompt": ONE, "text": "y"})).fingerprint
    assert one["tokenizer_sha256"] == "words"
    digest = hashlib.sha256(Path("inputs/answers.jsonl").read_bytes()).hexdigest()
    assert other["files_sha256"] == {"inputs/answers.jsonl": digest}
    assert one["files_sha256"] != other["files_sha256"]


def test_files_of_the_hub_are_chosen_by_pattern_at_their_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    snapshot = tmp_path / "snapshot"
    (snapshot / "more").mkdir(parents=True)
    for name, text in (("math.jsonl", "2"), ("more/code.jsonl", "3"), ("README.md", "#")):
        (snapshot / name).write_text(json.dumps({"prompt": ONE, "text": text}) + "\n")
    fetched: list[tuple[Any, ...]] = []

    def snapshot_double(repo: str, **wanted: Any) -> str:
        fetched.append((repo, wanted["repo_type"], wanted["revision"], wanted["allow_patterns"]))
        return str(snapshot)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_double)
    commit = "c" * 40

    def engine(files: list[str]) -> ReplayEngine:
        source = ReplayHub(kind="hub", repo="a/b", revision=commit, files=files)
        return ReplayEngine("old", TOKENIZER, source, lambda: [ASKED])

    assert texts(engine(["*.jsonl"])) == ["2", "3"]
    assert texts(engine(["math.jsonl"])) == ["2"]
    assert fetched[0] == ("a/b", "dataset", commit, ["*.jsonl"])
    with pytest.raises(
        EngineError, match=r"a/b@c+ has no \.jsonl or \.parquet file that matches x"
    ):
        engine(["x"])


def test_a_hub_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch):
    def unreachable(*_: Any, **__: Any) -> str:
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    with pytest.raises(EngineError, match="cannot be fetched from the Hub: no network"):
        replay_rows.ReplaySource(ReplayHub(kind="hub", repo="a/b", revision="c" * 40))
